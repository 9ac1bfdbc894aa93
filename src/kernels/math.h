/* exp, expm1, log, log1p, powers, tanh, sigmoid and the normal distribution of a vector, and what activations share.

   Every function does the same operations in the same order for every element, so its bits are those of the element
   alone on every instruction set with a fused multiply-add. Results that would be denormal are 0, denormal arguments
   count as 0, and NaN stays NaN. The errors given are the largest over all floats against the exact value, in units in
   the last place, with a fused multiply-add and, in parentheses, without.

   The constants are those for float: double needs polynomials of its own. */
#ifndef NNCORE_MATH_H
#define NNCORE_MATH_H

#include <math.h>

#include "../vec.h"

/* ln 2 = LN2_HI + LN2_LO; the high part has 15 bits, so that its product with an exponent is exact. */
#define LN2_HI 0x1.62e4p-1f
#define LN2_LO 0x1.7f7d1cp-20f
#define LOG2_E 0x1.715476p+0f
#define MIN_NORMAL 0x1p-126f
#define LOG_MIN_NORMAL (-0x1.5d589ep+6f) /* ln 2^-126: where exp underflows */
#define LOG_MAX 0x1.62e42ep+6f           /* the largest argument whose exp is finite */

/* Polynomials, from the constant up. Each minimizes the largest relative error of what it serves, coefficients rounded
   to float one after the other and the rest fitted anew. */

/* exp(r) = 1 + r + r² P(r) for |r| <= ln(2) / 2: 3.1e-9 */
static const real EXP_TERMS[] = {0x1.fffffcp-2f, 0x1.555492p-3f, 0x1.5558aap-5f, 0x1.12396ep-7f, 0x1.6a524ep-10f};

/* log(1 + f) = f - f²/2 + f³ P(f) for -1/4 <= f <= 1/2: 4.9e-9 */
static const real LOG_TERMS[] = {
    0x1.5555a4p-2f, -0x1.00004ap-2f, 0x1.99699ep-3f, -0x1.54ed96p-3f,
    0x1.28807ap-3f, -0x1.0d98f0p-3f, 0x1.acf4aap-4f, -0x1.71e334p-5f,
};

/* tanh(x) = x + x³ P(x²) for |x| <= 0.55: 1.2e-9 */
static const real TANH_TERMS[] = {-0x1.55554ap-2f, 0x1.110ceep-3f, -0x1.b91e7ep-5f, 0x1.58e518p-6f, -0x1.9921a2p-8f};

/* The normal distribution is 1/2 + x P(x²) for |x| <= 1: 2.8e-8 */
static const real NORMAL_TERMS[] = {
    0x1.988454p-2f, -0x1.1058c8p-4f, 0x1.46f2d2p-7f, -0x1.3a205ap-10f, 0x1.0a4986p-13f, -0x1.b3f3cap-17f,
};

/* R(x) = exp(x²/2) times the normal distribution's part beyond x: (x + 2.75) R(x) = P((x - 2.75) / (x + 2.75)) for
   1 <= x <= 14: 5.1e-9 */
static const real TAIL_TERMS[] = {
    0x1.701ef0p-1f, -0x1.e5bd16p-2f, 0x1.756bd0p-3f, -0x1.0f6e70p-6f, -0x1.0d7462p-6f,
    0x1.a65650p-9f, 0x1.472efcp-9f, -0x1.682ddep-12f, -0x1.a89a52p-12f,
};

#define POLYNOMIAL(p, x) horner(p, (int)(sizeof(p) / sizeof(p)[0]), x)

INLINE vec horner(const real *p, int terms, vec x)
{
    vec y = vec_set1(p[terms - 1]);
    for (int i = terms - 2; i >= 0; i--)
        y = vec_fma(y, x, vec_set1(p[i]));
    return y;
}

/* The larger, or NaN where either is */
INLINE vec vec_max_or_nan(vec a, vec b) { return vec_select(vec_eq(a, a), vec_max(a, b), a); }

/* exp(r) - 1 for |r| <= ln(2) / 2 */
INLINE vec exp_of_rest(vec r) { return vec_fma(vec_mul(r, r), POLYNOMIAL(EXP_TERMS, r), r); }

/* The r and n of exp(x) = 2^n exp(r) */
INLINE vec exp_rest(vec x, vec *n)
{
    *n = vec_round(vec_mul(x, vec_set1(LOG2_E)));
    return vec_fnma(*n, vec_set1(LN2_LO), vec_fnma(*n, vec_set1(LN2_HI), x));
}

/* The s and n of exp(x) = 2^n (1 + s), |s| < 0.42 */
INLINE vec exp_parts(vec x, vec *n) { return exp_of_rest(exp_rest(x, n)); }

/* exp(x) of its parts: 0 where it would be denormal, inf where it is too large */
INLINE vec exp_of_parts(vec x, vec s, vec n)
{
    vec y = vec_ldexp(vec_add(s, vec_set1(1)), n);
    y = vec_select(vec_lt(x, vec_set1(LOG_MIN_NORMAL)), vec_zero(), y);
    return vec_select(vec_lt(vec_set1(LOG_MAX), x), vec_set1(INFINITY), y);
}

/* exp(x): 1.02 ulp (0.99) */
INLINE vec vec_exp(vec x)
{
    vec n;
    const vec s = exp_parts(x, &n);
    return exp_of_parts(x, s, n);
}

/* exp(x) - 1 for x <= 0: 0.93 ulp (0.89) */
INLINE vec vec_expm1(vec x)
{
    vec n;
    const vec one = vec_set1(1), s = exp_parts(vec_max(vec_set1(-26), x), &n);
    const vec y = vec_ldexp(vec_add(s, vec_sub(one, vec_ldexp(one, vec_neg(n)))), n);
    return vec_select(vec_lt(vec_set1(LOG_MAX), x), vec_set1(INFINITY), vec_select(vec_eq(n, vec_zero()), s, y));
}

/* n ln 2 + log(1 + f) for -1/4 <= f < 1/2 */
INLINE vec log_of_parts(vec n, vec f)
{
    const vec f2 = vec_mul(f, f);
    vec y = vec_mul(vec_mul(f, f2), POLYNOMIAL(LOG_TERMS, f));
    y = vec_fma(n, vec_set1(LN2_LO), y);
    y = vec_fnma(vec_set1(0.5f), f2, y);
    return vec_fma(n, vec_set1(LN2_HI), vec_add(f, y));
}

/* log(x): -inf at ±0, NaN below; 0.88 ulp (0.89) */
INLINE vec vec_log(vec x)
{
    vec m = vec_mantissa(x), n = vec_exponent(x);
    const vec_cond high = vec_le(vec_set1(1.5f), m);
    m = vec_select(high, vec_mul(m, vec_set1(0.5f)), m);
    n = vec_select(high, vec_add(n, vec_set1(1)), n);
    vec y = log_of_parts(n, vec_sub(m, vec_set1(1)));
    y = vec_select(vec_lt(x, vec_set1(MIN_NORMAL)), vec_set1(-INFINITY), y);
    y = vec_select(vec_le(x, vec_set1(-MIN_NORMAL)), vec_set1(NAN), y);
    return vec_select(vec_lt(x, vec_set1(INFINITY)), y, x);
}

/* a and what is left of x: half of its bits each */
INLINE vec upper_half(vec x)
{
    const vec wide = vec_mul(x, vec_set1(4097));
    return vec_sub(wide, vec_sub(wide, x));
}

/* a b less its rounded value, after Dekker, "A floating-point technique for extending the available precision", 1971 */
INLINE vec rounded_off(vec a, vec b, vec product)
{
    const vec a1 = upper_half(a), a2 = vec_sub(a, a1), b1 = upper_half(b), b2 = vec_sub(b, b1);
    const vec most = vec_add(vec_sub(vec_mul(a1, b1), product), vec_mul(a1, b2));
    return vec_add(vec_add(most, vec_mul(a2, b1)), vec_mul(a2, b2));
}

/* x^y for x >= 0: exp of the product of y and log x, both in two parts; NaN where x is below 0; exact for y of 0
   and 1, rounded once for 1/2, else 1.50 ulp (1.50) for y in [-1, 8] */
INLINE vec vec_pow(vec x, real y)
{
    if (y == (real)0.5)
        return vec_sqrt(x);
    if (y == 0)
        return vec_set1(1);
    if (y == 1)
        return x;
    vec m = vec_mantissa(x), n = vec_exponent(x);
    const vec_cond high = vec_le(vec_set1(1.5f), m);
    m = vec_select(high, vec_mul(m, vec_set1(0.5f)), m);
    n = vec_select(high, vec_add(n, vec_set1(1)), n);
    /* log x = log + low: f - f²/2 and what was rounded off, the polynomial, and n ln 2 */
    const vec f = vec_sub(m, vec_set1(1)), f2 = vec_mul(f, f), half = vec_mul(vec_set1(0.5f), f2);
    const vec near = vec_sub(f, half), whole = vec_mul(n, vec_set1(LN2_HI)), sum = vec_add(whole, near);
    vec rest = vec_mul(vec_mul(f, f2), POLYNOMIAL(LOG_TERMS, f));
    rest = vec_fnma(vec_set1(0.5f), rounded_off(f, f, f2), rest);
    rest = vec_add(rest, vec_sub(vec_sub(f, near), half));
    rest = vec_fma(n, vec_set1(LN2_LO), rest);
    rest = vec_add(rest, vec_sub(near, vec_sub(sum, whole)));
    const vec log = vec_add(sum, rest), low = vec_sub(rest, vec_sub(log, sum));
    const vec exponent = vec_set1(y), product = vec_mul(exponent, log);
    const vec left = vec_fma(exponent, low, rounded_off(exponent, log, product));
    vec k;
    const vec r = exp_rest(product, &k);
    vec z = exp_of_parts(product, exp_of_rest(vec_add(r, left)), k);
    z = vec_select(vec_lt(x, vec_set1(MIN_NORMAL)), vec_set1(y < 0 ? INFINITY : 0), z);
    z = vec_select(vec_eq(x, vec_set1(INFINITY)), vec_set1(y < 0 ? 0 : INFINITY), z);
    z = vec_select(vec_le(x, vec_set1(-MIN_NORMAL)), vec_set1(NAN), z);
    return vec_select(vec_eq(x, x), z, x);
}

/* log(1 + x) for 0 <= x <= 1; either f is exact. 0.88 ulp (0.89) */
INLINE vec vec_log1p(vec x)
{
    const vec_cond high = vec_le(vec_set1(0.5f), x);
    const vec f = vec_select(high, vec_mul(vec_sub(x, vec_set1(1)), vec_set1(0.5f)), x);
    return log_of_parts(vec_select(high, vec_set1(1), vec_zero()), f);
}

/* tanh(x), beyond the polynomial's range 1 - 2 / (exp(2|x|) + 1) with the sign of x; ±1 from |x| = 9.02 on, -0 at -0.
   1.34 ulp (1.36) */
INLINE vec vec_tanh(vec x)
{
    const vec one = vec_set1(1), z = vec_min(vec_set1(10), vec_abs(x)), z2 = vec_mul(z, z);
    const vec near = vec_fma(vec_mul(z, z2), POLYNOMIAL(TANH_TERMS, z2), z);
    vec n;
    const vec s = exp_parts(vec_add(z, z), &n), k = vec_ldexp(one, n);
    const vec far = vec_sub(one, vec_div(vec_set1(2), vec_fma(k, s, vec_add(k, one))));
    return vec_copysign(vec_select(vec_lt(z, vec_set1(0.55f)), near, far), x);
}

/* dx = dy (1 - y²), y = tanh(x) */
INLINE vec vec_tanh_grad(vec dy, vec y) { return vec_mul(dy, vec_sub(vec_set1(1), vec_mul(y, y))); }

/* sigmoid(x) = 1 / (1 + exp(-x)): the quotient by the rounded sum d, and one Newton step with what rounding left of d;
   1 from x = 17.4 on, 0 where it would be denormal. 1.58 ulp (2.02) */
INLINE vec vec_sigmoid(vec x)
{
    const vec one = vec_set1(1), z = vec_max(vec_set1(-30), vec_min(vec_set1(88), vec_neg(x)));
    vec n;
    const vec s = exp_parts(z, &n), k = vec_ldexp(one, n), k1 = vec_add(k, one);
    const vec d = vec_fma(k, s, k1), left = vec_fma(k, s, vec_sub(k1, d));
    vec y = vec_div(one, d);
    y = vec_fma(y, vec_fnma(left, y, vec_fnma(d, y, one)), y);
    return vec_select(vec_lt(x, vec_set1(LOG_MIN_NORMAL)), vec_zero(), y);
}

/* dx = dy (y (1 - y)), y = sigmoid(x) */
INLINE vec vec_sigmoid_grad(vec dy, vec y) { return vec_mul(dy, vec_mul(y, vec_sub(vec_set1(1), y))); }

/* max(x, 0); -0 stays -0 */
INLINE vec vec_relu(vec x) { return vec_max(vec_zero(), x); }

/* dx = dy where y > 0, else 0, y = relu(x) */
INLINE vec vec_relu_grad(vec dy, vec y) { return vec_select(vec_lt(vec_zero(), y), dy, vec_zero()); }

/* min(max(x, low), high); NaN stays NaN */
INLINE vec vec_clip(vec x, vec low, vec high) { return vec_max(low, vec_min(high, x)); }

/* share x, and 0 where the share is 0, also for an infinite x */
INLINE vec vec_weigh(vec share, vec x)
{
    return vec_select(vec_eq(share, vec_zero()), vec_zero(), vec_mul(share, x));
}

/* exp(-|x|), from which sigmoids and logarithms of 1 + exp(x) are computed without overflow */
INLINE vec vec_exp_below(vec x) { return vec_exp(vec_neg(vec_abs(x))); }

/* sigmoid(x), and its derivative where `slope` is wanted: 1 / (1 + e) or e / (1 + e), and their product */
INLINE vec vec_sigmoid_and_slope(vec x, vec *slope)
{
    const vec one = vec_set1(1), e = vec_exp_below(x), high = vec_div(one, vec_add(one, e)), low = vec_mul(e, high);
    *slope = vec_mul(low, high);
    return vec_select(vec_lt(x, vec_zero()), low, high);
}

/* log(1 + exp(x)): 1.62 ulp (1.62) */
INLINE vec vec_softplus(vec x) { return vec_add(vec_relu(x), vec_log1p(vec_exp_below(x))); }

/* tanh(log(1 + exp(x))) and its derivative: quotients of polynomials of e = exp(-|x|) */
INLINE vec vec_tanh_of_softplus(vec x, vec *slope)
{
    const vec one = vec_set1(1), two = vec_set1(2), e = vec_exp_below(x), e2 = vec_mul(e, e);
    const vec_cond negative = vec_lt(x, vec_zero());
    const vec part = vec_select(negative, vec_add(e2, vec_add(e, e)), vec_add(one, vec_add(e, e)));
    const vec total = vec_add(part, vec_select(negative, two, vec_add(e2, e2)));
    const vec numerator = vec_mul(vec_mul(vec_set1(4), vec_add(one, e)), vec_select(negative, e, e2));
    *slope = vec_div(numerator, vec_mul(total, total));
    return vec_div(part, total);
}

/* Distribution and density of the standard normal distribution. x times the first, which is gelu(x): 5.2 ulp (5.2), and
   from x = -1 on 2.4 (2.8). The exponent -x²/2 is taken as half the exact square of a multiple of 1/16, and a small rest:
   so the small side of the distribution is as exact as the large one. */
INLINE vec vec_normal(vec x, vec *density)
{
    const vec half = vec_set1(0.5f), one = vec_set1(1), z = vec_min(vec_set1(14), vec_abs(x));
    const vec coarse = vec_mul(vec_round(vec_mul(z, vec_set1(16))), vec_set1(0.0625f));
    const vec square = vec_mul(vec_mul(coarse, coarse), half);
    const vec rest = vec_mul(vec_mul(vec_sub(z, coarse), vec_add(z, coarse)), half), exponent = vec_add(square, rest);
    const vec n = vec_round(vec_mul(exponent, vec_set1(-LOG2_E)));
    const vec whole = vec_sub(vec_fnma(n, vec_set1(LN2_HI), vec_neg(square)), rest);
    const vec r = vec_fnma(n, vec_set1(LN2_LO), whole);
    const vec s = vec_fma(vec_mul(r, r), POLYNOMIAL(EXP_TERMS, r), r);
    const vec e = vec_select(vec_lt(vec_set1(-LOG_MIN_NORMAL), exponent), vec_zero(), vec_ldexp(vec_add(s, one), n));
    const vec inverse = vec_div(one, vec_add(z, vec_set1(2.75f)));
    const vec tail = vec_mul(vec_mul(POLYNOMIAL(TAIL_TERMS, vec_fnma(vec_set1(5.5f), inverse, one)), inverse), e);
    const vec far = vec_select(vec_lt(x, vec_zero()), tail, vec_sub(one, tail));
    const vec near = vec_fma(x, POLYNOMIAL(NORMAL_TERMS, vec_mul(z, z)), half);
    *density = vec_mul(e, vec_set1(0x1.988454p-2f));
    return vec_select(vec_lt(z, one), near, far);
}

#endif
