"""Attacks: what malicious clients do, importable on their own.

>>> import numpy as np
>>> from robustfl.attacks import ALIE, IPM
>>> honest = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
>>> IPM(epsilon=0.5)(honest, f=2).tolist()
[[-1.5, -2.0], [-1.5, -2.0]]

On the updates: :class:`SignFlip`, :class:`Gaussian`, :class:`NonFinite`, :class:`IPM`, :class:`ALIE`,
:class:`Mimic`, :class:`FreeRider`, :class:`SignRandomising`, :class:`ValueInverting`, :class:`RandomRescaling`,
:class:`Scaling`, :class:`Constant`, :class:`GradientAscent`. As far as honest updates, or a rule, let them:
:class:`MinMax`, :class:`MinSum`, :class:`FangKrum`, :class:`FangTrimmedMean`, :class:`AGRTailored`, :class:`ROP`,
:class:`SparseHybrid`. The same way for many rounds: :class:`Drift`, :class:`ConstantDirection`, :class:`MPAF`,
:class:`PoisonedFL`. Made for one kind of rule: :class:`OneCoordinate`, :class:`AntiCGE`, :class:`SignStatistics`,
:class:`Geodesic`, :class:`TrustCosine`. On rankings: :class:`ReverseRanking`, :class:`ShuffledRanking`,
:class:`BoundarySwap`. On the data: :class:`LabelFlip`; with everybody's data: :class:`OmniscientLabelFlip`.
Backdoors: :class:`BadNets`, :class:`DBA`, :class:`EdgeCase`; how they are trained and sent, as in ``BadNets() >>
ModelReplacement()``: :class:`ModelReplacement`, :class:`PGDConstrained`, :class:`Neurotoxin`,
:class:`AlternatingMinimisation`.
Failing machines: :class:`UniformNoise`, :class:`DroppedCoordinates`, :class:`CorruptedGradient`. On test samples:
:class:`FGSM`, :class:`PGD`, :class:`ZerothOrder`. Under several names, before an attack: :class:`Clones`,
:class:`Whitewash`, :class:`TakingTurns`. To add an attack: one file here, one import line below.

Faults, without any malice: in the data :class:`LabelNoise`, :class:`FeatureNoise`, :class:`DuplicateSamples`,
:class:`EmptyClient`; in computing :class:`Stale`; in messages :class:`AWGN`, :class:`BitFlip`, :class:`Compress`,
:class:`NaNClient`, :class:`Replay`; on the network :class:`Dropout`, :class:`Crash`, :class:`Churn`,
:class:`Straggler`, :class:`Partial`, :class:`OutOfOrder`, :class:`DuplicateClient`.
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
