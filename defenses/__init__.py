"""Defenses: robust aggregation rules and pre-aggregations, importable on their own.

Each file holds one defense. A newcomer calls an aggregator on the updates of one round, and puts pre-aggregations in
front of it with ``>>``:

>>> from robustfl.defenses import Krum, NNM, TrimmedMean
>>> updates = [[1.0, 2.0], [1.2, 1.8], [0.9, 2.1], [1.1, 2.0], [50.0, -50.0]]
>>> Krum(f=1)(updates).tolist()
[1.0, 2.0]
>>> answer = (NNM(f=1) >> TrimmedMean(f=1)).aggregate(updates)
>>> answer.value.round(2).tolist()
[1.05, 1.98]

* The baseline without any defense is :class:`Mean`.
* These answer with a weighted sum of the updates: :class:`Krum`, :class:`MultiKrum`, :class:`GeometricMedian`,
  :class:`CenteredClipping`, :class:`MDA`, :class:`SMEA`, :class:`CAF`, :class:`CGE`, :class:`DnC`,
  :class:`NormBound`, :class:`FLAME`, :class:`SignGuard`, :class:`Flag`.
* These treat every coordinate on its own: :class:`Median`, :class:`TrimmedMean`, :class:`Meamed`, :class:`Phocas`,
  :class:`SignMajority`, :class:`RobustLearningRate`. :class:`Bulyan` selects rows first and does so afterwards.
* These compare the updates with one that the server (or the peer) trusts: :class:`FLTrust`, :class:`MoNNA`.
  :class:`ServerAlone` is their yardstick and no defense.
* These keep a reputation of every client: :class:`FoolsGold`, :class:`MeritRank`, :class:`RFFL`.
* :class:`FRL` counts votes: its clients send rankings in place of numbers.
* :class:`KnFu` answers each client in its own way, where clients send predictions in place of updates. All other rules
  for updates can be asked about predictions, too (:mod:`robustfl.aggregation.predictions`); :class:`Mean` is FedMD.
* :class:`DPFedAvg`, :class:`DPSGD`, :class:`LocalDP` and :class:`SecureSumDP` are privacy mechanisms, the first stage
  of a pipeline; a federation carries them out.
* These are pre-aggregations, which turn updates into updates: :class:`NNM`, :class:`Bucketing`, :class:`Clipping`,
  :class:`ARC`, :class:`ClientMomentum`.
* These mix the models of peers, where there is no server (:mod:`robustfl.defenses.peers`): :class:`NNA`, :class:`GTS`,
  :class:`IOS`, :class:`ClippedGossip`, :class:`CSPlus`, :class:`CSHe`, :class:`Bridge`, :class:`Balance`,
  :class:`UBAR`, :class:`Bristle`, :class:`LocalFoolsGold`, :class:`PeerMeritRank`, :class:`SybilWall`,
  :class:`VarianceCorrected`;
  :class:`Gossip` has no defense, and :class:`Alone` is their yardstick.
* :class:`PerLayer` in front of a rule or pipeline lets it decide about each layer of a model by itself.
* :class:`ConsistencyCheck` is what clients do against a server that gives them different models.
* These are carried out by clients before they send anything, against attackers who invert updates into samples:
  :class:`GradientNoise`, :class:`GradientPruning`, :class:`GradientQuantisation`, :class:`Mixup`, :class:`Soteria`.

Updates are numpy arrays, torch tensors, lists of arrays or state dicts; the answer comes back in the same type and
dtype, on the same device. A new rule takes one file in this folder and one import line below.
"""

from .arc import ARC as ARC
from .bucketing import Bucketing as Bucketing
from .bulyan import Bulyan as Bulyan
from .caf import CAF as CAF
from .centered_clipping import CenteredClipping as CenteredClipping
from .cge import CGE as CGE
from .client_momentum import ClientMomentum as ClientMomentum
from .clipping import Clipping as Clipping
from .consistency_check import ConsistencyCheck as ConsistencyCheck
from .dnc import DnC as DnC
from .flag import Flag as Flag
from .flame import FLAME as FLAME
from .fltrust import FLTrust as FLTrust
from .fools_gold import FoolsGold as FoolsGold
from .frl import FRL as FRL
from .geometric_median import GeometricMedian as GeometricMedian
from .gradient_noise import GradientNoise as GradientNoise
from .gradient_pruning import GradientPruning as GradientPruning
from .gradient_quantisation import GradientQuantisation as GradientQuantisation
from .kn_fu import KnFu as KnFu
from .krum import Krum as Krum
from .mda import MDA as MDA
from .meamed import Meamed as Meamed
from .mean import Mean as Mean
from .median import Median as Median
from .merit_rank import MeritRank as MeritRank
from .mixup import Mixup as Mixup
from .monna import MoNNA as MoNNA
from .multi_krum import MultiKrum as MultiKrum
from .nnm import NNM as NNM
from .norm_bound import NormBound as NormBound
from .peers import GTS as GTS
from .peers import IOS as IOS
from .peers import NNA as NNA
from .peers import UBAR as UBAR
from .peers import Alone as Alone
from .peers import Balance as Balance
from .peers import Bridge as Bridge
from .peers import Bristle as Bristle
from .peers import ClippedGossip as ClippedGossip
from .peers import CSHe as CSHe
from .peers import CSPlus as CSPlus
from .peers import Gossip as Gossip
from .peers import LocalFoolsGold as LocalFoolsGold
from .peers import PeerMeritRank as PeerMeritRank
from .peers import SybilWall as SybilWall
from .peers import VarianceCorrected as VarianceCorrected
from .per_layer import PerLayer as PerLayer
from .phocas import Phocas as Phocas
from .privacy import DPSGD as DPSGD
from .privacy import DPFedAvg as DPFedAvg
from .privacy import LocalDP as LocalDP
from .privacy import SecureSumDP as SecureSumDP
from .rffl import RFFL as RFFL
from .robust_learning_rate import RobustLearningRate as RobustLearningRate
from .server_alone import ServerAlone as ServerAlone
from .sign_majority import SignMajority as SignMajority
from .signguard import SignGuard as SignGuard
from .smea import SMEA as SMEA
from .soteria import Soteria as Soteria
from .trimmed_mean import TrimmedMean as TrimmedMean
