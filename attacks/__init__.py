"""Attacks and faults: one file each, in the room of its surface, and all of them importable from here.

An attack on updates is called with the honest updates [h, d] and the number f of malicious clients, and returns the
malicious updates [f, d]:

>>> import numpy as np
>>> from robustfl.attacks import ALIE, IPM
>>> honest = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
>>> IPM(epsilon=0.5)(honest, f=2).tolist()
[[-1.5, -2.0], [-1.5, -2.0]]

A newcomer starts with :class:`IPM` (one line of mathematics) and then reads :class:`WhiteBox`, which searches for the
update that harms most through the actual defense. The rooms, each with a tour of its own:

* ``updates``: attacks on the updates that malicious clients send, such as :class:`SignFlip`, :class:`ALIE`,
  :class:`MinMax`, :class:`WhiteBox`, :class:`ModelReplacement` and :class:`FreeRider`.
* ``data``: attacks on training data. These are :class:`LabelFlip` and the backdoors :class:`BadNets`, :class:`DBA` and
  :class:`EdgeCase`.
* ``rankings``: attacks on votes over rankings. These are :class:`ReverseRanking`, :class:`ShuffledRanking` and
  :class:`BoundarySwap`.
* ``predictions``: attacks on what clients predict for public samples. These are :class:`WrongClass`,
  :class:`ReversedBeliefs`, :class:`HiddenShift` and :class:`PredictionSearch`.
* ``peers``: attacks that are made for networks of peers, such as :class:`Echo`, :class:`Dissensus` and
  :class:`PeerWhiteBox`; :class:`InSteps` lets attacks on updates craft steps there.
* ``identities``: Sybil strategies. These are :class:`Clones`, :class:`Whitewash` and :class:`TakingTurns`.
* ``placement``: where malicious peers are in a network. These are :class:`Cut`, :class:`Degree`, :class:`Betweenness`,
  :class:`Connectivity`, :class:`Spread`, :class:`Attached` and :class:`RandomPeers`.
* ``privacy``: what spies find out about the data of clients, such as :class:`Analytic`, :class:`LabelCounts`,
  :class:`InvertingGradients` and, for who was trained on, :class:`LiRA`.
* ``evasion``: attacks on test samples. These are :class:`FGSM`, :class:`PGD` and :class:`ZerothOrder`.
* ``faults``: what goes wrong without malice, such as :class:`Dropout`, :class:`Straggler`, :class:`LabelNoise` and
  :class:`NaNClient`.

Stages of an attack are combined with ``>>``, as in ``Cut() >> Clones() >> BadNets() >> ModelReplacement()``: where, who
attacks, on what data, and what is sent. `standard_v1.yaml` is the frozen attack list ``standard-v1``,
and `standard_v2.yaml` adds attacks that plan ahead.

To add an attack, write one file in the room of its surface and one import line below.
"""

from .data.bad_nets import BadNets as BadNets
from .data.dba import DBA as DBA
from .data.edge_case import EdgeCase as EdgeCase
from .data.label_flip import LabelFlip as LabelFlip
from .evasion.fgsm import FGSM as FGSM
from .evasion.pgd import PGD as PGD
from .evasion.zeroth_order import ZerothOrder as ZerothOrder
from .faults.awgn import AWGN as AWGN
from .faults.bit_flip import BitFlip as BitFlip
from .faults.churn import Churn as Churn
from .faults.compress import Compress as Compress
from .faults.crash import Crash as Crash
from .faults.dropout import Dropout as Dropout
from .faults.duplicate_client import DuplicateClient as DuplicateClient
from .faults.duplicate_samples import DuplicateSamples as DuplicateSamples
from .faults.empty_client import EmptyClient as EmptyClient
from .faults.feature_noise import FeatureNoise as FeatureNoise
from .faults.label_noise import LabelNoise as LabelNoise
from .faults.nan_client import NaNClient as NaNClient
from .faults.out_of_order import OutOfOrder as OutOfOrder
from .faults.partial import Partial as Partial
from .faults.replay import Replay as Replay
from .faults.stale import Stale as Stale
from .faults.straggler import Straggler as Straggler
from .identities.clones import Clones as Clones
from .identities.taking_turns import TakingTurns as TakingTurns
from .identities.whitewash import Whitewash as Whitewash
from .peers.dissensus import Dissensus as Dissensus
from .peers.echo import Echo as Echo
from .peers.edge import Edge as Edge
from .peers.foreign_classes import ForeignClasses as ForeignClasses
from .peers.framing import Framing as Framing
from .peers.in_steps import InSteps as InSteps
from .peers.peer_white_box import PeerWhiteBox as PeerWhiteBox
from .peers.random_updates import RandomUpdates as RandomUpdates
from .peers.spectral import Spectral as Spectral
from .peers.state_override import StateOverride as StateOverride
from .placement.attached import Attached as Attached
from .placement.betweenness import Betweenness as Betweenness
from .placement.connectivity import Connectivity as Connectivity
from .placement.cut import Cut as Cut
from .placement.degree import Degree as Degree
from .placement.random import RandomPeers as RandomPeers
from .placement.spread import Spread as Spread
from .predictions.hidden_shift import HiddenShift as HiddenShift
from .predictions.prediction_search import PredictionSearch as PredictionSearch
from .predictions.reversed_beliefs import ReversedBeliefs as ReversedBeliefs
from .predictions.wrong_class import WrongClass as WrongClass
from .privacy.analytic import Analytic as Analytic
from .privacy.class_fishing import ClassFishing as ClassFishing
from .privacy.dlg import DLG as DLG
from .privacy.exact_batches import ExactBatches as ExactBatches
from .privacy.grad_inversion import GradInversion as GradInversion
from .privacy.idlg import IDLG as IDLG
from .privacy.imprint import Imprint as Imprint
from .privacy.inconsistent_model import InconsistentModel as InconsistentModel
from .privacy.inverting_gradients import InvertingGradients as InvertingGradients
from .privacy.label_counts import LabelCounts as LabelCounts
from .privacy.lira import LiRA as LiRA
from .privacy.loss_threshold import LossThreshold as LossThreshold
from .privacy.nearest_sample import NearestSample as NearestSample
from .privacy.rmia import RMIA as RMIA
from .privacy.row_ratios import RowRatios as RowRatios
from .privacy.sent_samples import SentSamples as SentSamples
from .privacy.surrogate_model import SurrogateModel as SurrogateModel
from .privacy.update_alignment import UpdateAlignment as UpdateAlignment
from .rankings.boundary_swap import BoundarySwap as BoundarySwap
from .rankings.reverse_ranking import ReverseRanking as ReverseRanking
from .rankings.shuffled_ranking import ShuffledRanking as ShuffledRanking
from .updates.agr_tailored import AGRTailored as AGRTailored
from .updates.alie import ALIE as ALIE
from .updates.alternating_minimisation import AlternatingMinimisation as AlternatingMinimisation
from .updates.anti_cge import AntiCGE as AntiCGE
from .updates.consistent_white_box import ConsistentWhiteBox as ConsistentWhiteBox
from .updates.constant import Constant as Constant
from .updates.constant_direction import ConstantDirection as ConstantDirection
from .updates.corrupted_gradient import CorruptedGradient as CorruptedGradient
from .updates.drift import Drift as Drift
from .updates.dropped_coordinates import DroppedCoordinates as DroppedCoordinates
from .updates.fang_krum import FangKrum as FangKrum
from .updates.fang_trimmed_mean import FangTrimmedMean as FangTrimmedMean
from .updates.free_rider import FreeRider as FreeRider
from .updates.gaussian import Gaussian as Gaussian
from .updates.geodesic import Geodesic as Geodesic
from .updates.gradient_ascent import GradientAscent as GradientAscent
from .updates.ipm import IPM as IPM
from .updates.mimic import Mimic as Mimic
from .updates.min_max import MinMax as MinMax
from .updates.min_sum import MinSum as MinSum
from .updates.model_replacement import ModelReplacement as ModelReplacement
from .updates.mpaf import MPAF as MPAF
from .updates.neurotoxin import Neurotoxin as Neurotoxin
from .updates.non_finite import NonFinite as NonFinite
from .updates.omniscient_label_flip import OmniscientLabelFlip as OmniscientLabelFlip
from .updates.one_coordinate import OneCoordinate as OneCoordinate
from .updates.opt_alie import OptALIE as OptALIE
from .updates.opt_ipm import OptIPM as OptIPM
from .updates.pgd_constrained import PGDConstrained as PGDConstrained
from .updates.planned_drift import PlannedDrift as PlannedDrift
from .updates.poisoned_fl import PoisonedFL as PoisonedFL
from .updates.random_rescaling import RandomRescaling as RandomRescaling
from .updates.rop import ROP as ROP
from .updates.scaling import Scaling as Scaling
from .updates.sign_flip import SignFlip as SignFlip
from .updates.sign_randomising import SignRandomising as SignRandomising
from .updates.sign_statistics import SignStatistics as SignStatistics
from .updates.sparse_hybrid import SparseHybrid as SparseHybrid
from .updates.trust_cosine import TrustCosine as TrustCosine
from .updates.uniform_noise import UniformNoise as UniformNoise
from .updates.value_inverting import ValueInverting as ValueInverting
from .updates.white_box import WhiteBox as WhiteBox
