"""Functions of scipy.special: gamma, digamma, zeta, inverse error and Bessel functions.

Coefficients, the highest power first, are rational or polynomial interpolations at Chebyshev's nodes in
60 digits of mpmath; a pair is numerator and denominator. They are float64's, also for float32.
"""

from __future__ import annotations

import math

from rnnkit.backends.formulas.exponential import exp, log, log1p
from rnnkit.backends.formulas.powers import power
from rnnkit.backends.formulas.registry import formula, replaceable
from rnnkit.backends.formulas.trigonometry import sinc
from rnnkit.backends.formulas.value import absolute, fma, horner, rint, select, sqrt

# log Γ(x) / (x - 1) in x - 1/2 for x in [1/2, 3/2]; log Γ(x) / (x - 2) in x - 3/2 for x in [3/2, 5/2].
GAMMALN_1 = (
    (0.0052078476269402825, 0.18477244224913203, 1.4943397775736535, 3.921702944582659, 1.7451925115472562,
    -7.05658761731725, -11.071743532729537, -6.0368524331792885, -1.1447298858494002), (0.0011763828381698895,
    0.07895344318154246, 1.1546678850895564, 6.465463047500636, 17.200166325410994, 23.92626390804441,
    17.8124740414636, 6.704125408439776, 1.0),
)  # fmt: skip
GAMMALN_2 = (
    (0.00014934550672545877, 0.007280421067362734, 0.08965461323924341, 0.4323847094886738, 0.9271148865521419,
    0.8493466837063101, 0.24156447527049044), (3.209440606853723e-05, 0.0027442534857002343, 0.0521265026283003,
    0.37624814162002435, 1.2249788591627753, 1.818138534777076, 1.0),
)  # fmt: skip
# The error of Stirling's formula, times x, in 1 / x² for x >= 8.
STIRLING = (
    0.005065905360156132, -0.001890382993887715, 0.0008414700852503147, -0.0005952365845057049,
    0.0007936507897524059, -0.002777777777773988, 0.08333333333333333,
)  # fmt: skip
# ψ(x) / (x - ROOT) in x - 1 for x in [1, 3]; (log(x) - 1 / (2 x) - ψ(x)) x² in 1 / x² for x >= 8.
ROOT = (1.4616321325302124, 1.2438149938918909e-08)
PSI_NEAR = (
    (4.097361930526724e-08, 3.9117651665683125e-05, 0.002235289521967761, 0.04049350826567144, 0.31649933632550714,
    1.1741604116033721, 2.0079983521060054, 1.2503801375034054), (7.3778476243478865e-06, 0.0006000004112100302,
    0.014396602345897333, 0.14810832904594673, 0.7470495002328587, 1.9022022748824643, 2.2894571233542136, 1.0),
)  # fmt: skip
PSI_FAR = (
    -0.299425370626735, 0.08002337465397756, -0.02105106090804774, 0.007575459920369176, -0.004166665501516725,
    0.003968253965999701, -0.008333333333331664, 0.08333333333333333,
)  # fmt: skip
# erf⁻¹(x) / x in 9/16 - x² for |x| <= 3/4; t - erfc⁻¹(exp(-t²)) in t up to 4 and up to 27.4.
INVERSE_NEAR = (
    (0.004629517836199464, 0.31730417194039606, 3.408658782601145, 12.832151510619875, 21.727106021614006,
    18.039487150473597, 7.160921199707379, 1.0845597967968248), (0.030108495873496597, 0.8535064285470091,
    6.247619308964538, 18.607684554381887, 26.78300806716227, 19.70783200731746, 7.121354241112377, 1.0),
)  # fmt: skip
INVERSE_TAIL = (
    (-4.1832814219202644e-07, -0.0003551622048486735, -0.009702188275515555, 0.015562711462196156,
    0.605347075881966, 0.8177065218313334, 0.716690510651201, 1.9045211940804931, 0.5961373973582086,
    0.9922388889950244, 0.00060131456651269), (-0.00012821559926403555, -0.005806271752329823,
    -0.019992686085778557, 0.40243841270040165, 1.564136294173925, 1.5116979955343681, 3.4923458565583094,
    2.78762427867014, 3.3540765848015535, 1.4352106178580883, 1.0),
)  # fmt: skip
INVERSE_FAR = (
    (3.3520778529125433e-16, 5.887995416757953e-12, 4.074219388103227e-09, 7.996443136204902e-07,
    6.231046455229434e-05, 0.0021971270508782427, 0.036649756667884975, 0.28464338160615815, 0.9557652691829293,
    1.3111226533006792, 1.3332649655796018, 0.8776984127101835, 0.020068144313322264), (1.4204064798990093e-12,
    1.2373334540975754e-09, 2.894912282706978e-07, 2.6599912415440433e-05, 0.0011146974232619216,
    0.022664980975202198, 0.22593080805915272, 1.0752188086099077, 2.401406498889984, 3.158969415247621,
    3.5021749412697196, 1.8843964232790502, 1.0),
)  # fmt: skip
# exp(x²) erfc(x) for x in [0, 3]; beyond, its relative difference from 1 / (x sqrt(π)), in 1 / (2 x²) and over that.
TAIL_NEAR = (
    (-2.3219864239149715e-12, 7.575701136412126e-05, 0.0015216162423685043, 0.014400037768898064,
    0.08345909670061913, 0.3236420799950459, 0.861966703825112, 1.552029103025016, 1.753989523541926, 1.0),
    (0.00013427559859854424, 0.0026969997161890398, 0.025590456960769104, 0.14927688474085737, 0.5863260240736713,
    1.6004805698387077, 3.0246947301614093, 3.8044338854286655, 2.882368690637439, 1.0),
)  # fmt: skip
TAIL_FAR = (
    (15545.789767777584, 366518.69633287867, 450812.8024213153, 173789.8154669892, 28518.154461308848,
    2195.64069502236, 77.48432752911984, 1.0), (574627.4765167497, 1284415.5220334071, 866269.7173046776,
    249010.77644822994, 34682.170581166836, 2422.0936776097774, 80.4843275291198, 1.0),
)  # fmt: skip
# exp(-x) I(x), of order 1 over x, in x up to 8; exp(-x) I(x) sqrt(x) in 16 / x - 1 beyond.
I0E_NEAR = (
    (-2.761090584847002e-13, -3.6417276601954725e-11, 1.2135630679302582e-09, 1.3832767256533562e-08,
    9.514045061878941e-07, 5.3422800759551045e-06, 0.00016959885381615295, 0.0004337553529249199,
    0.010783230715942319, 0.01016629737463184, 0.22978688470253264, 0.045304131436342564, 1.0),
    (-1.424697276418721e-11, 5.396452497274306e-11, 1.2155545519920177e-08, 3.650624095460844e-07,
    6.6162115136063655e-06, 8.609831918717604e-05, 0.0008510114845890073, 0.006499606898078885,
    0.038162571645708736, 0.16794588160306256, 0.5250910161388612, 1.0453041314363432, 1.0),
)  # fmt: skip
I1E_NEAR = (
    (-1.2146984634036286e-15, 7.9240674481604e-13, 1.299067858297062e-10, 3.2058346989296723e-09,
    9.296402057375099e-08, 1.036097035265241e-06, 1.9505124350370703e-05, 0.00010839323410272187,
    0.0016478299124346807, 0.003978384872882161, 0.054332414747445615, 0.03817592632420359, 0.5),
    (3.731990093248882e-11, 1.7485747069246657e-09, 4.5980934168445107e-08, 8.488181050952995e-07,
    1.191993325076982e-05, 0.00013178827542679843, 0.0011615498351727268, 0.008145271044784807, 0.04476640115827927,
    0.1869202106504669, 0.5600166821432991, 1.076351852648407, 1.0),
)  # fmt: skip
I0E_FAR = (
    -7.06893851181878e-11, -1.9216763724933513e-11, 5.181936971288284e-10, 1.4672236659214398e-10,
    -1.7789375042917173e-09, -5.562201990080394e-10, 3.881151253996067e-09, 1.497880830187091e-09,
    -6.188265090497361e-09, -3.4857887470034955e-09, 7.58022133915272e-09, 7.540601378890834e-09,
    -5.4685974495866e-09, -1.3404241991980871e-08, -6.729724111923548e-09, 7.553516470355896e-09,
    2.1545177650836005e-08, 3.932602459703109e-08, 8.87225351128584e-08, 2.973598432479169e-07,
    1.4838475473607391e-06, 1.1143033791556743e-05, 0.00013621607439232746, 0.003360551983667854,
    0.4021765094450081,
)  # fmt: skip
I1E_FAR = (
    7.347992441734663e-11, 1.7502497778701306e-11, -5.388285995923524e-10, -1.342266320082222e-10,
    1.8513716745511988e-09, 5.146498826087142e-10, -4.047785403711858e-09, -1.4171698018664596e-09,
    6.4870195719816896e-09, 3.406636130196794e-09, -8.044231276166508e-09, -7.630751970065577e-09,
    6.040877342160988e-09, 1.4029693589852716e-08, 6.715795128085017e-09, -8.426622829598154e-09,
    -2.337059627111857e-08, -4.312935369971356e-08, -1.0001323461066435e-07, -3.483855609009937e-07,
    -1.8349101134666435e-06, -1.5038547201176271e-05, -0.00021923576383430274, -0.009749577193235728,
    0.38939845902587233,
)  # fmt: skip
# For x <= 1, in x²: I and K without their terms of log(x) and 1 / x, of order 1 over x. Beyond, exp(x) K(x) sqrt(x)
# less sqrt(π / 2), times x, in 1 / x.
I0_NEAR = (
    2.4406278948541674e-12, 4.708886739799705e-10, 6.781689246632508e-08, 6.781684003298254e-06,
    0.00043402777778401143, 0.015624999999999221, 0.25000000000000006, 1.0,
)  # fmt: skip
I1_NEAR = (
    1.522750603604819e-13, 3.363588648332749e-11, 5.6514062526881675e-09, 6.781684014193744e-07,
    5.425347222256812e-05, 0.0026041666666666236, 0.0625, 0.5,
)  # fmt: skip
K0_NEAR = (
    6.615903551644314e-12, 1.2082515207624246e-09, 1.6271070900264265e-07, 1.4914719229859212e-05,
    0.0008460350907258961, 0.025248929932160484, 0.2789828789146032, 0.11593151565841245,
)  # fmt: skip
K1_NEAR = (
    -4.2224747994537033e-13, -8.870907975584019e-11, -1.403017207152258e-08, -1.5592887662774348e-06,
    -0.00011253607036730547, -0.004642182766471435, -0.08537071972865079, -0.3079657578292062,
)  # fmt: skip
K0E_FAR = (
    (-0.0010179220312715217, -0.5820482691252092, -15.350965430763553, -126.69435478204403, -460.83715572795086,
    -860.1564511671422, -892.2735898753913, -535.1266988707246, -187.0703074281726, -37.0919937076806,
    -3.817979507369492, -0.15666426716443752), (0.722163666157891, 29.31536254014496, 357.58951434239526,
    1909.0036045237048, 5248.77962388652, 8106.218246749101, 7373.593952090001, 4032.8306949240214,
    1321.1095780082321, 250.19988268081272, 24.932955219134747, 1.0),
)  # fmt: skip
K1E_FAR = (
    (0.01128079983417822, 1.8338825567569517, 42.78849772923955, 341.258086016367, 1233.8098469370464,
    2318.508415863548, 2437.650996012169, 1487.1125543652454, 529.7686156568471, 107.11032874510788,
    11.240906698640835, 0.4699928014933126), (0.2213017764304076, 12.837291653611805, 193.96344252520373,
    1199.97883195936, 3680.30570453693, 6186.620318740276, 6022.287283691064, 3481.6462065310297,
    1194.4425431870006, 235.19614729220456, 24.229689078056065, 1.0),
)  # fmt: skip
# Bernoulli's numbers B₂, B₄, … over (2 j)!.
BERNOULLI = (
    1 / 12, -1 / 720, 1 / 30240, -1 / 1209600, 1 / 47900160, -691 / 1307674368000, 1 / 74724249600,
    -3617 / 10670622842880000,
)  # fmt: skip


@replaceable
def exp_product(a, b):
    """Return exp(a b), with the rounding error of the product."""
    return exp(a * b, fma(a, b, -(a * b)))


def _ratio(x, terms):
    return horner(x, terms[0]) / horner(x, terms[1])


@formula
def gammaln(x):
    """Return log |Γ(x)|."""
    y = select(x < -1e30, 1e30, select(x < 0, 1 - x, x))
    low = y < 0.5  # Γ(y) = Γ(y + 1) / y
    z, product = select(low, y + 1, y), select(low, y, 1)
    for _ in range(6):  # Γ(y) = (y - 1) Γ(y - 1)
        more = z > 2.5
        z = select(more, z - 1, z)
        product = select(more, product * z, product)
    first = (z - 1) * _ratio(z - 0.5, GAMMALN_1)
    second = (z - 2) * _ratio(z - 1.5, GAMMALN_2)
    large = y >= 8
    log_of_y = log(select(large, y, product))
    near = select(z < 1.5, first, second) + select(low, -log_of_y, log_of_y)
    share = 1 / y
    far = (y - 0.5) * (log_of_y - 1) + (share * horner(share * share, STIRLING) + (0.5 * math.log(2 * math.pi) - 0.5))
    found = select(large, far, near)
    r = x - rint(x)  # |sin(πx)| = |sin(πr)|
    reflected = select(x > -math.inf, -log(absolute(r * sinc(r))) - found, x)
    return select(x < 0, reflected, found)


@formula
def psi(x):
    """Return the derivative of log Γ(x)."""
    y = select(x < 0, 1 - x, x)
    low = y < 1
    z, above, below = select(low, y + 1, y), 0 * y, 0 * y + 1
    for _ in range(5):  # ψ(y) = ψ(y - 1) + 1 / (y - 1)
        more = z > 3
        z = select(more, z - 1, z)
        above, below = select(more, above * z + below, above), select(more, below * z, below)
    near = (z - ROOT[0] - ROOT[1]) * _ratio(z - 1, PSI_NEAR) + select(low, -1 / x, above / below)
    share = 1 / y
    square = share * share
    far = log(select(y >= 8, y, 1)) - (0.5 * share + square * horner(square, PSI_FAR))
    found = select(y >= 8, far, near)
    r = x - rint(x)
    size = absolute(r)
    rest = 0.5 - size  # cos(πr) = sin(π rest)
    cotangent = math.pi * rest * sinc(rest) / (r * sinc(r))
    reflected = select(size > 0, found - cotangent, math.nan)
    return select(x < 0, reflected, found)


@formula
def zeta(s, x):
    """Return Hurwitz's zeta function, the sum of (x + k)⁻ˢ over k >= 0, by Euler and Maclaurin; NaN for negative x."""
    s = select(s > 1e30, 1e30, s)  # as good as infinite
    shares = 1.0
    for k in range(9, 0, -1):
        shares = shares + exp(-s * log1p(k / x))  # ((x + k) / x)⁻ˢ
    found, a = power(x, -s) * shares, x + 10
    share = 1 / a
    rise, total = s * share, 0.5
    for j, number in enumerate(BERNOULLI):
        if j:
            rise = rise * (s + (2 * j - 1)) * (s + 2 * j) * (share * share)
        total = total + number * rise
    size = power(a, 1 - s)
    found = found + select(size > 0, size * (1 / (s - 1) + total * share), 0)
    found = select(x > 0, found, 1 / (x * x))
    found = select(s > 1, found, select(s < 1, math.nan, s + x * x + math.inf))
    return select(x < 0, math.nan, found)


def _inverse(x, left):
    """Return erf⁻¹(x), where `left` is 1 - |x|."""
    near = x * _ratio(0.5625 - x * x, INVERSE_NEAR)
    t = sqrt(-log(left))
    t = select(t > 28, 28, t)
    tail = t - select(t < 4, _ratio(t, INVERSE_TAIL), _ratio(t, INVERSE_FAR))
    tail = select(left > 0, tail, select(left < 0, math.nan, tail + math.inf))
    return select(left >= 0.25, near + 0, select(x < 0, -tail, tail))


@formula
def erfinv(x):
    return _inverse(x, 1 - absolute(x))


@formula
def erfcinv(x):
    return -_inverse(x - 1, select(x < 1, x, 2 - x))


@formula
def ndtri(x):
    """Return the inverse of the normal distribution function."""
    twice = x + x
    return math.sqrt(2) * _inverse(twice - 1, select(x < 0.5, twice, 2 - twice))


def _scaled_tail(size):
    """Return exp(x²) erfc(x) of `size` >= 0."""
    large = size > 3
    share = 0.5 / (size * size)
    far = (1 - share * _ratio(share, TAIL_FAR)) * (1 / math.sqrt(math.pi)) / size
    return select(large, far, _ratio(select(large, 3, size), TAIL_NEAR))


@formula
def erfcx(x):
    """Return exp(x²) erfc(x)."""
    tail = _scaled_tail(absolute(x))
    least = select(x < -30, -30, x)
    return select(x < 0, 2 * exp_product(least, least) - tail, tail)


@formula
def log_ndtr(x):
    """Return the logarithm of the normal distribution function."""
    half = 0.5 * _scaled_tail(math.sqrt(0.5) * absolute(x))
    most = select(x > 40, 40, x)
    return select(x < 0, log(half) - 0.5 * x * x, log1p(-half * exp_product(-0.5 * most, most)))


@formula
def i0e(x):
    """Return exp(-|x|) I₀(x)."""
    size = absolute(x)
    far = horner(16 / size - 1, I0E_FAR) / sqrt(size)
    return select(size > 8, far, _ratio(size, I0E_NEAR))


@formula
def i1e(x):
    """Return exp(-|x|) I₁(x)."""
    size = absolute(x)
    far = horner(16 / size - 1, I1E_FAR) / sqrt(size)
    return select(size > 8, select(x < 0, -far, far), x * _ratio(size, I1E_NEAR) + 0)


def _large_k(x, terms):
    share = 1 / x
    return (math.sqrt(0.5 * math.pi) + share * _ratio(share, terms)) / sqrt(x)


@formula
def k0e(x):
    """Return exp(x) K₀(x)."""
    square = x * x
    near = exp(x) * (horner(square, K0_NEAR) - log(x) * horner(square, I0_NEAR))
    return select(x > 1, _large_k(x, K0E_FAR), near)


@formula
def k1e(x):
    """Return exp(x) K₁(x)."""
    square = x * x
    log_of_x = log(select(x < 1e-30, 1e-30, x))
    near = exp(x) * (1 / x + x * (horner(square, K1_NEAR) + log_of_x * horner(square, I1_NEAR)))
    return select(x > 1, _large_k(x, K1E_FAR), select(x < 0, math.nan, absolute(near)))


NAMES = ("gammaln", "psi", "zeta", "erfinv", "erfcinv", "ndtri", "erfcx", "log_ndtr", "i0e", "i1e", "k0e", "k1e")
