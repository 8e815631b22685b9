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

from .agr_tailored import AGRTailored as AGRTailored
from .alie import ALIE as ALIE
from .alternating_minimisation import AlternatingMinimisation as AlternatingMinimisation
from .anti_cge import AntiCGE as AntiCGE
from .awgn import AWGN as AWGN
from .bad_nets import BadNets as BadNets
from .bit_flip import BitFlip as BitFlip
from .boundary_swap import BoundarySwap as BoundarySwap
from .churn import Churn as Churn
from .clones import Clones as Clones
from .compress import Compress as Compress
from .consistent_white_box import ConsistentWhiteBox as ConsistentWhiteBox
from .constant import Constant as Constant
from .constant_direction import ConstantDirection as ConstantDirection
from .corrupted_gradient import CorruptedGradient as CorruptedGradient
from .crash import Crash as Crash
from .dba import DBA as DBA
from .drift import Drift as Drift
from .dropout import Dropout as Dropout
from .dropped_coordinates import DroppedCoordinates as DroppedCoordinates
from .duplicate_client import DuplicateClient as DuplicateClient
from .duplicate_samples import DuplicateSamples as DuplicateSamples
from .edge_case import EdgeCase as EdgeCase
from .empty_client import EmptyClient as EmptyClient
from .fang_krum import FangKrum as FangKrum
from .fang_trimmed_mean import FangTrimmedMean as FangTrimmedMean
from .feature_noise import FeatureNoise as FeatureNoise
from .fgsm import FGSM as FGSM
from .free_rider import FreeRider as FreeRider
from .gaussian import Gaussian as Gaussian
from .geodesic import Geodesic as Geodesic
from .gradient_ascent import GradientAscent as GradientAscent
from .ipm import IPM as IPM
from .label_flip import LabelFlip as LabelFlip
from .label_noise import LabelNoise as LabelNoise
from .mimic import Mimic as Mimic
from .min_max import MinMax as MinMax
from .min_sum import MinSum as MinSum
from .model_replacement import ModelReplacement as ModelReplacement
from .mpaf import MPAF as MPAF
from .nan_client import NaNClient as NaNClient
from .neurotoxin import Neurotoxin as Neurotoxin
from .non_finite import NonFinite as NonFinite
from .omniscient_label_flip import OmniscientLabelFlip as OmniscientLabelFlip
from .one_coordinate import OneCoordinate as OneCoordinate
from .opt_alie import OptALIE as OptALIE
from .opt_ipm import OptIPM as OptIPM
from .out_of_order import OutOfOrder as OutOfOrder
from .partial import Partial as Partial
from .pgd import PGD as PGD
from .pgd_constrained import PGDConstrained as PGDConstrained
from .poisoned_fl import PoisonedFL as PoisonedFL
from .random_rescaling import RandomRescaling as RandomRescaling
from .replay import Replay as Replay
from .reverse_ranking import ReverseRanking as ReverseRanking
from .rop import ROP as ROP
from .scaling import Scaling as Scaling
from .shuffled_ranking import ShuffledRanking as ShuffledRanking
from .sign_flip import SignFlip as SignFlip
from .sign_randomising import SignRandomising as SignRandomising
from .sign_statistics import SignStatistics as SignStatistics
from .sparse_hybrid import SparseHybrid as SparseHybrid
from .stale import Stale as Stale
from .straggler import Straggler as Straggler
from .taking_turns import TakingTurns as TakingTurns
from .trust_cosine import TrustCosine as TrustCosine
from .uniform_noise import UniformNoise as UniformNoise
from .value_inverting import ValueInverting as ValueInverting
from .white_box import WhiteBox as WhiteBox
from .whitewash import Whitewash as Whitewash
from .zeroth_order import ZerothOrder as ZerothOrder
