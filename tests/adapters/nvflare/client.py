"""A site of the job: honest, or one of those that the argument names."""

from __future__ import annotations

import sys

import numpy as np
import nvflare.client as flare
from nvflare.app_common.abstract.fl_model import FLModel

kind = sys.argv[1]
flare.init()
liar = flare.get_site_name() == "site-1"
while flare.is_running():
    received = flare.receive()
    own = {name: np.asarray(value) + 1.0 for name, value in received.params.items()}
    if liar and kind == "scale":
        own = {name: value * 1e6 for name, value in own.items()}
    if liar and kind == "nan":
        own = {name: value * np.nan for name, value in own.items()}
    if liar and kind == "axis":
        own = {name: value[None] for name, value in own.items()}
    metrics = {"accuracy": 1e9 if liar else 0.5}
    flare.send(FLModel(params=own, metrics=metrics, meta={"NUM_STEPS_CURRENT_ROUND": 10**9 if liar else 1}))
