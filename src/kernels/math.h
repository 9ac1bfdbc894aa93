/* exp, log, log1p, tanh and sigmoid of a vector, and the activations made of them.

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

/* The s and n of exp(x) = 2^n (1 + s), |s| < 0.42 */
INLINE vec exp_parts(vec x, vec *n)
{
    *n = vec_round(vec_mul(x, vec_set1(LOG2_E)));
    const vec r = vec_fnma(*n, vec_set1(LN2_LO), vec_fnma(*n, vec_set1(LN2_HI), x));
    return vec_fma(vec_mul(r, r), POLYNOMIAL(EXP_TERMS, r), r);
}

/* exp(x): 1.02 ulp (0.99) */
INLINE vec vec_exp(vec x)
{
    vec n;
    const vec s = exp_parts(x, &n);
    vec y = vec_ldexp(vec_add(s, vec_set1(1)), n);
    y = vec_select(vec_lt(x, vec_set1(LOG_MIN_NORMAL)), vec_zero(), y);
    return vec_select(vec_lt(vec_set1(LOG_MAX), x), vec_set1(INFINITY), y);
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

/* x^y for x >= 0, y >= 0: exp(y log(x)), whose relative error is 2^-23 (1 + |y log(x)|); exact for y of 0, and rounded
   once for y of 1/2 and 1 */
INLINE vec vec_pow(vec x, real y)
{
    if (y == (real)0.5)
        return vec_sqrt(x);
    if (y == 0)
        return vec_set1(1);
    return y == 1 ? x : vec_exp(vec_mul(vec_set1(y), vec_log(x)));
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

#endif
