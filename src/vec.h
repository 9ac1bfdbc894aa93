/* A vector of reals and its operations, once for each instruction set: the only file with intrinsics.

   A file of src/isa selects the section with VEC_AVX512, VEC_AVX2, VEC_NEON or VEC_BASELINE before including it. All
   sections give the same bits for the same operation, except that vec_fma rounds twice where there is no fused
   multiply-add (SSE2 and generic C); kernels that keep an order of summation that does not depend on LANES therefore
   give the same bits on AVX-512, AVX2 and NEON.

   For double, `real` becomes double and each section takes the pd / f64 forms of its intrinsics, half the LANES and the
   constants of enum real_format for 64 bits. WIDE, masks and trees follow, and no other file counts bits.

   The operations, beyond those whose name says it all:
     vec_mask_first(n)         the first n lanes, 0 <= n <= LANES
     vec_load_first(p, mask)   those lanes of memory and 0 in the others; touches no memory beyond them
     vec_store_first(p, m, v)  stores those lanes only
     vec_fma(a, b, c)          a b + c        vec_fnma(a, b, c)  c - a b
     vec_max(a, b)             a > b ? a : b: b where either is NaN, and where both are zero
     vec_min(a, b)             a < b ? a : b: likewise
     vec_lt, vec_le, vec_eq    a vec_cond, false where either is NaN
     vec_cond_first(n)         true in the first n lanes, 0 <= n <= LANES
     vec_find(c)               the first lane where c is true, or LANES
     vec_copysign(a, b)        |a| with the sign of b
     vec_round(x)              to the nearest integer, ties to even, as reals; keeps the sign of zero
     vec_ldexp(v, n)           v 2^n for integral n, |n| <= 252, rounded once, for v such that v 2^trunc(n/2) is normal
     vec_exponent(x)           e and
     vec_mantissa(x)           m of x = m 2^e, 1 <= m < 2, for positive normal x
     vec_down(v, step)         lane i of the result is lane i + step, for i < step; step is a power of two < LANES
     vec_first(v)              lane 0
     vec_transpose(v)          v[i] lane j <-> v[j] lane i of LANES vectors, in place

   words is a vector of LANES / 2 integers of 64 bits, with the operators of C; of one more operation,
     words_mul(a, b)           the products of the lower halves

   TILE_ROWS(vecs) is the height of the largest matrix product tile that is vecs vectors wide: its accumulators, and the
   operands of one multiply-add, fit into the registers. TILE_VECS is the width of the tiles for many rows. */
#ifndef NNCORE_VEC_H
#define NNCORE_VEC_H

#include <string.h>

#include "nncore.h"

#define INLINE static inline __attribute__((always_inline))

enum real_format { MANTISSA_BITS = 23, EXPONENT_BIAS = 127, SIGN_BIT = (int)0x80000000 };

#if defined(VEC_AVX512) /* ------------------------------------------------------------------------ AVX-512: 16 lanes */

#include <immintrin.h>

enum { LANES = 16 };
#define TILE_VECS 4
#define TILE_ROWS(vecs) ((vecs) > 4 ? 3 : (vecs) == 4 ? 6 : (vecs) == 3 ? 8 : (vecs) == 2 ? 12 : 16)

typedef __m512 vec;
typedef uint64_t words __attribute__((vector_size(64)));
typedef __mmask16 vec_mask;
typedef __mmask16 vec_cond;

INLINE vec vec_load(const real *p) { return _mm512_loadu_ps(p); }
INLINE void vec_store(real *p, vec v) { _mm512_storeu_ps(p, v); }
INLINE vec_mask vec_mask_first(int n) { return (vec_mask)((1u << n) - 1); }
INLINE vec vec_load_first(const real *p, vec_mask m) { return _mm512_maskz_loadu_ps(m, p); }
INLINE void vec_store_first(real *p, vec_mask m, vec v) { _mm512_mask_storeu_ps(p, m, v); }
INLINE vec vec_set1(real a) { return _mm512_set1_ps(a); }
INLINE vec vec_zero(void) { return _mm512_setzero_ps(); }
INLINE vec vec_add(vec a, vec b) { return _mm512_add_ps(a, b); }
INLINE vec vec_sub(vec a, vec b) { return _mm512_sub_ps(a, b); }
INLINE vec vec_mul(vec a, vec b) { return _mm512_mul_ps(a, b); }
INLINE vec vec_div(vec a, vec b) { return _mm512_div_ps(a, b); }
INLINE vec vec_sqrt(vec a) { return _mm512_sqrt_ps(a); }
INLINE vec vec_fma(vec a, vec b, vec c) { return _mm512_fmadd_ps(a, b, c); }
INLINE vec vec_fnma(vec a, vec b, vec c) { return _mm512_fnmadd_ps(a, b, c); }
INLINE vec vec_max(vec a, vec b) { return _mm512_max_ps(a, b); }
INLINE vec vec_min(vec a, vec b) { return _mm512_min_ps(a, b); }
INLINE vec vec_abs(vec a) { return _mm512_abs_ps(a); }
INLINE vec vec_neg(vec a) { return _mm512_xor_ps(a, _mm512_set1_ps(-0.0f)); }
INLINE vec vec_copysign(vec a, vec b) { return _mm512_or_ps(vec_abs(a), _mm512_and_ps(b, _mm512_set1_ps(-0.0f))); }
INLINE vec_cond vec_lt(vec a, vec b) { return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ); }
INLINE vec_cond vec_le(vec a, vec b) { return _mm512_cmp_ps_mask(a, b, _CMP_LE_OQ); }
INLINE vec_cond vec_eq(vec a, vec b) { return _mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ); }
INLINE vec_cond vec_not(vec_cond c) { return (vec_cond)~c; }
INLINE vec_cond vec_and_cond(vec_cond a, vec_cond b) { return (vec_cond)(a & b); }
INLINE vec_cond vec_cond_first(int n) { return vec_mask_first(n); }
INLINE int vec_find(vec_cond c) { return c ? __builtin_ctz(c) : LANES; }
INLINE vec vec_select(vec_cond c, vec a, vec b) { return _mm512_mask_blend_ps(c, b, a); }
INLINE vec vec_round(vec a) { return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
INLINE vec vec_ldexp(vec a, vec n) { return _mm512_scalef_ps(a, n); }

INLINE words words_mul(words a, words b) { return (words)_mm512_mul_epu32((__m512i)a, (__m512i)b); }

INLINE vec vec_exponent(vec a)
{
    __m512i bits = _mm512_srli_epi32(_mm512_castps_si512(a), MANTISSA_BITS);
    return _mm512_cvtepi32_ps(_mm512_sub_epi32(bits, _mm512_set1_epi32(EXPONENT_BIAS)));
}

INLINE vec vec_mantissa(vec a)
{
    __m512i fraction = _mm512_and_epi32(_mm512_castps_si512(a), _mm512_set1_epi32((1 << MANTISSA_BITS) - 1));
    return _mm512_castsi512_ps(_mm512_or_epi32(fraction, _mm512_set1_epi32(EXPONENT_BIAS << MANTISSA_BITS)));
}

INLINE vec vec_down(vec v, int step)
{
    if (step == 8)
        return _mm512_shuffle_f32x4(v, v, 0x0E);
    if (step == 4)
        return _mm512_shuffle_f32x4(v, v, 0x01);
    return step == 2 ? _mm512_permute_ps(v, 0x0E) : _mm512_permute_ps(v, 0x01);
}

INLINE real vec_first(vec v) { return _mm512_cvtss_f32(v); }

INLINE void vec_transpose(vec v[LANES])
{
    __m512 t[LANES];
    /* In every group of 4 rows and 128 bits: 4 by 4. */
    for (int i = 0; i < LANES; i += 4) {
        __m512 a = _mm512_unpacklo_ps(v[i], v[i + 1]), b = _mm512_unpackhi_ps(v[i], v[i + 1]);
        __m512 c = _mm512_unpacklo_ps(v[i + 2], v[i + 3]), d = _mm512_unpackhi_ps(v[i + 2], v[i + 3]);
        t[i] = _mm512_shuffle_ps(a, c, 0x44);
        t[i + 1] = _mm512_shuffle_ps(a, c, 0xEE);
        t[i + 2] = _mm512_shuffle_ps(b, d, 0x44);
        t[i + 3] = _mm512_shuffle_ps(b, d, 0xEE);
    }
    /* Then the 4 by 4 groups among themselves. */
    for (int i = 0; i < 4; i++) {
        __m512 a = _mm512_shuffle_f32x4(t[i], t[i + 4], 0x88), b = _mm512_shuffle_f32x4(t[i], t[i + 4], 0xDD);
        __m512 c = _mm512_shuffle_f32x4(t[i + 8], t[i + 12], 0x88), d = _mm512_shuffle_f32x4(t[i + 8], t[i + 12], 0xDD);
        v[i] = _mm512_shuffle_f32x4(a, c, 0x88);
        v[i + 4] = _mm512_shuffle_f32x4(b, d, 0x88);
        v[i + 8] = _mm512_shuffle_f32x4(a, c, 0xDD);
        v[i + 12] = _mm512_shuffle_f32x4(b, d, 0xDD);
    }
}

#elif defined(VEC_AVX2) /* -------------------------------------------------------------------- AVX2 with FMA: 8 lanes */

#include <immintrin.h>

enum { LANES = 8 };
#define TILE_VECS 3
#define TILE_ROWS(vecs) ((vecs) > 4 ? 1 : (vecs) == 4 ? 3 : (vecs) == 3 ? 4 : (vecs) == 2 ? 6 : 12)

typedef __m256 vec;
typedef uint64_t words __attribute__((vector_size(32)));
typedef __m256i vec_mask;
typedef __m256 vec_cond;

INLINE vec vec_load(const real *p) { return _mm256_loadu_ps(p); }
INLINE void vec_store(real *p, vec v) { _mm256_storeu_ps(p, v); }

INLINE vec_mask vec_mask_first(int n)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

INLINE vec vec_load_first(const real *p, vec_mask m) { return _mm256_maskload_ps(p, m); }

/* In pieces: a masked store is microcode on some processors. */
INLINE void vec_store_first(real *p, vec_mask m, vec v)
{
    const unsigned lanes = (unsigned)_mm256_movemask_ps(_mm256_castsi256_ps(m)) + 1; /* 2^n for n lanes */
    __m128 rest = _mm256_castps256_ps128(v);
    if (lanes > 0xFF) {
        _mm256_storeu_ps(p, v);
        return;
    }
    if (lanes & 0xF0) {
        _mm_storeu_ps(p, rest);
        rest = _mm256_extractf128_ps(v, 1);
        p += 4;
    }
    if (lanes & 0xCC) {
        _mm_storel_epi64((__m128i *)p, _mm_castps_si128(rest));
        rest = _mm_movehl_ps(rest, rest);
        p += 2;
    }
    if (lanes & 0xAA)
        _mm_store_ss(p, rest);
}

INLINE vec vec_set1(real a) { return _mm256_set1_ps(a); }
INLINE vec vec_zero(void) { return _mm256_setzero_ps(); }
INLINE vec vec_add(vec a, vec b) { return _mm256_add_ps(a, b); }
INLINE vec vec_sub(vec a, vec b) { return _mm256_sub_ps(a, b); }
INLINE vec vec_mul(vec a, vec b) { return _mm256_mul_ps(a, b); }
INLINE vec vec_div(vec a, vec b) { return _mm256_div_ps(a, b); }
INLINE vec vec_sqrt(vec a) { return _mm256_sqrt_ps(a); }
INLINE vec vec_fma(vec a, vec b, vec c) { return _mm256_fmadd_ps(a, b, c); }
INLINE vec vec_fnma(vec a, vec b, vec c) { return _mm256_fnmadd_ps(a, b, c); }
INLINE vec vec_max(vec a, vec b) { return _mm256_max_ps(a, b); }
INLINE vec vec_min(vec a, vec b) { return _mm256_min_ps(a, b); }
INLINE vec vec_abs(vec a) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a); }
INLINE vec vec_neg(vec a) { return _mm256_xor_ps(a, _mm256_set1_ps(-0.0f)); }
INLINE vec vec_copysign(vec a, vec b) { return _mm256_or_ps(vec_abs(a), _mm256_and_ps(b, _mm256_set1_ps(-0.0f))); }
INLINE vec_cond vec_lt(vec a, vec b) { return _mm256_cmp_ps(a, b, _CMP_LT_OQ); }
INLINE vec_cond vec_le(vec a, vec b) { return _mm256_cmp_ps(a, b, _CMP_LE_OQ); }
INLINE vec_cond vec_eq(vec a, vec b) { return _mm256_cmp_ps(a, b, _CMP_EQ_OQ); }
INLINE vec_cond vec_not(vec_cond c) { return _mm256_xor_ps(c, _mm256_castsi256_ps(_mm256_set1_epi32(-1))); }
INLINE vec_cond vec_and_cond(vec_cond a, vec_cond b) { return _mm256_and_ps(a, b); }
INLINE vec_cond vec_cond_first(int n) { return _mm256_castsi256_ps(vec_mask_first(n)); }
INLINE int vec_find(vec_cond c) { return __builtin_ctz((unsigned)_mm256_movemask_ps(c) | 1u << LANES); }
INLINE vec vec_select(vec_cond c, vec a, vec b) { return _mm256_blendv_ps(b, a, c); }
INLINE vec vec_round(vec a) { return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }

INLINE vec vec_power_of_2(__m256i n)
{
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(n, _mm256_set1_epi32(EXPONENT_BIAS)), MANTISSA_BITS));
}

INLINE vec vec_ldexp(vec a, vec n)
{
    __m256i whole = _mm256_cvttps_epi32(n), half = _mm256_srai_epi32(whole, 1);
    a = _mm256_mul_ps(a, vec_power_of_2(half));
    return _mm256_mul_ps(a, vec_power_of_2(_mm256_sub_epi32(whole, half)));
}

INLINE words words_mul(words a, words b) { return (words)_mm256_mul_epu32((__m256i)a, (__m256i)b); }

INLINE vec vec_exponent(vec a)
{
    __m256i bits = _mm256_srli_epi32(_mm256_castps_si256(a), MANTISSA_BITS);
    return _mm256_cvtepi32_ps(_mm256_sub_epi32(bits, _mm256_set1_epi32(EXPONENT_BIAS)));
}

INLINE vec vec_mantissa(vec a)
{
    __m256i fraction = _mm256_and_si256(_mm256_castps_si256(a), _mm256_set1_epi32((1 << MANTISSA_BITS) - 1));
    return _mm256_castsi256_ps(_mm256_or_si256(fraction, _mm256_set1_epi32(EXPONENT_BIAS << MANTISSA_BITS)));
}

INLINE vec vec_down(vec v, int step)
{
    if (step == 4)
        return _mm256_permute2f128_ps(v, v, 0x01);
    return step == 2 ? _mm256_permute_ps(v, 0x0E) : _mm256_permute_ps(v, 0x01);
}

INLINE real vec_first(vec v) { return _mm256_cvtss_f32(v); }

INLINE void vec_transpose(vec v[LANES])
{
    __m256 t[LANES];
    /* In every group of 4 rows and 128 bits: 4 by 4. */
    for (int i = 0; i < LANES; i += 4) {
        __m256 a = _mm256_unpacklo_ps(v[i], v[i + 1]), b = _mm256_unpackhi_ps(v[i], v[i + 1]);
        __m256 c = _mm256_unpacklo_ps(v[i + 2], v[i + 3]), d = _mm256_unpackhi_ps(v[i + 2], v[i + 3]);
        t[i] = _mm256_shuffle_ps(a, c, 0x44);
        t[i + 1] = _mm256_shuffle_ps(a, c, 0xEE);
        t[i + 2] = _mm256_shuffle_ps(b, d, 0x44);
        t[i + 3] = _mm256_shuffle_ps(b, d, 0xEE);
    }
    /* Then the 4 by 4 groups among themselves. */
    for (int i = 0; i < 4; i++) {
        v[i] = _mm256_permute2f128_ps(t[i], t[i + 4], 0x20);
        v[i + 4] = _mm256_permute2f128_ps(t[i], t[i + 4], 0x31);
    }
}

#elif defined(VEC_NEON) /* -------------------------------------------------------------------- NEON, aarch64: 4 lanes */

#include <arm_neon.h>

enum { LANES = 4 };
#define TILE_VECS 4
#define TILE_ROWS(vecs) ((vecs) > 4 ? 3 : (vecs) == 4 ? 6 : (vecs) == 3 ? 8 : (vecs) == 2 ? 12 : 16)

typedef float32x4_t vec;
typedef uint64_t words __attribute__((vector_size(16)));
typedef int vec_mask; /* how many lanes */
typedef uint32x4_t vec_cond;

INLINE vec vec_load(const real *p) { return vld1q_f32(p); }
INLINE void vec_store(real *p, vec v) { vst1q_f32(p, v); }
INLINE vec_mask vec_mask_first(int n) { return n; }

INLINE vec vec_load_first(const real *p, vec_mask m)
{
    float32x4_t v = vdupq_n_f32(0);
    if (m > 3)
        return vld1q_f32(p);
    if (m > 0)
        v = vld1q_lane_f32(p, v, 0);
    if (m > 1)
        v = vld1q_lane_f32(p + 1, v, 1);
    if (m > 2)
        v = vld1q_lane_f32(p + 2, v, 2);
    return v;
}

INLINE void vec_store_first(real *p, vec_mask m, vec v)
{
    if (m > 3) {
        vst1q_f32(p, v);
        return;
    }
    if (m > 0)
        vst1q_lane_f32(p, v, 0);
    if (m > 1)
        vst1q_lane_f32(p + 1, v, 1);
    if (m > 2)
        vst1q_lane_f32(p + 2, v, 2);
}

INLINE vec vec_set1(real a) { return vdupq_n_f32(a); }
INLINE vec vec_zero(void) { return vdupq_n_f32(0); }
INLINE vec vec_add(vec a, vec b) { return vaddq_f32(a, b); }
INLINE vec vec_sub(vec a, vec b) { return vsubq_f32(a, b); }
INLINE vec vec_mul(vec a, vec b) { return vmulq_f32(a, b); }
INLINE vec vec_div(vec a, vec b) { return vdivq_f32(a, b); }
INLINE vec vec_sqrt(vec a) { return vsqrtq_f32(a); }
INLINE vec vec_fma(vec a, vec b, vec c) { return vfmaq_f32(c, a, b); }
INLINE vec vec_fnma(vec a, vec b, vec c) { return vfmsq_f32(c, a, b); }
INLINE vec vec_max(vec a, vec b) { return vbslq_f32(vcgtq_f32(a, b), a, b); }
INLINE vec vec_min(vec a, vec b) { return vbslq_f32(vcltq_f32(a, b), a, b); }
INLINE vec vec_abs(vec a) { return vabsq_f32(a); }
INLINE vec vec_neg(vec a) { return vnegq_f32(a); }
INLINE vec vec_copysign(vec a, vec b) { return vbslq_f32(vdupq_n_u32(0x80000000), b, a); }
INLINE vec_cond vec_lt(vec a, vec b) { return vcltq_f32(a, b); }
INLINE vec_cond vec_le(vec a, vec b) { return vcleq_f32(a, b); }
INLINE vec_cond vec_eq(vec a, vec b) { return vceqq_f32(a, b); }
INLINE vec_cond vec_not(vec_cond c) { return vmvnq_u32(c); }
INLINE vec_cond vec_and_cond(vec_cond a, vec_cond b) { return vandq_u32(a, b); }
INLINE vec_cond vec_cond_first(int n) { return vcltq_s32((int32x4_t){0, 1, 2, 3}, vdupq_n_s32(n)); }

INLINE int vec_find(vec_cond c)
{
    uint64_t lanes = vget_lane_u64(vreinterpret_u64_u16(vmovn_u32(c)), 0);
    return lanes ? __builtin_ctzll(lanes) / 16 : LANES;
}

INLINE vec vec_select(vec_cond c, vec a, vec b) { return vbslq_f32(c, a, b); }
INLINE vec vec_round(vec a) { return vrndnq_f32(a); }

INLINE vec vec_power_of_2(int32x4_t n)
{
    return vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(n, vdupq_n_s32(EXPONENT_BIAS)), MANTISSA_BITS));
}

INLINE vec vec_ldexp(vec a, vec n)
{
    int32x4_t whole = vcvtq_s32_f32(n), half = vshrq_n_s32(whole, 1);
    a = vmulq_f32(a, vec_power_of_2(half));
    return vmulq_f32(a, vec_power_of_2(vsubq_s32(whole, half)));
}

INLINE words words_mul(words a, words b) { return (words)vmull_u32(vmovn_u64((uint64x2_t)a), vmovn_u64((uint64x2_t)b)); }

INLINE vec vec_exponent(vec a)
{
    int32x4_t bits = vshrq_n_s32(vreinterpretq_s32_f32(a), MANTISSA_BITS);
    return vcvtq_f32_s32(vsubq_s32(bits, vdupq_n_s32(EXPONENT_BIAS)));
}

INLINE vec vec_mantissa(vec a)
{
    int32x4_t fraction = vandq_s32(vreinterpretq_s32_f32(a), vdupq_n_s32((1 << MANTISSA_BITS) - 1));
    return vreinterpretq_f32_s32(vorrq_s32(fraction, vdupq_n_s32(EXPONENT_BIAS << MANTISSA_BITS)));
}

INLINE vec vec_down(vec v, int step) { return step == 2 ? vextq_f32(v, v, 2) : vextq_f32(v, v, 1); }
INLINE real vec_first(vec v) { return vgetq_lane_f32(v, 0); }

INLINE void vec_transpose(vec v[LANES])
{
    float32x4x2_t a = vtrnq_f32(v[0], v[1]), b = vtrnq_f32(v[2], v[3]);
    v[0] = vcombine_f32(vget_low_f32(a.val[0]), vget_low_f32(b.val[0]));
    v[1] = vcombine_f32(vget_low_f32(a.val[1]), vget_low_f32(b.val[1]));
    v[2] = vcombine_f32(vget_high_f32(a.val[0]), vget_high_f32(b.val[0]));
    v[3] = vcombine_f32(vget_high_f32(a.val[1]), vget_high_f32(b.val[1]));
}

#elif defined(VEC_BASELINE) && defined(__SSE2__) /* ------------------------------ SSE2, the x86-64 baseline: 4 lanes */

#include <emmintrin.h>

enum { LANES = 4 };
#define TILE_VECS 2
#define TILE_ROWS(vecs) ((vecs) > 4 ? 1 : (vecs) > 2 ? 3 : (vecs) == 2 ? 6 : 12)

typedef __m128 vec;
typedef uint64_t words __attribute__((vector_size(16)));
typedef int vec_mask; /* how many lanes */
typedef __m128 vec_cond;

INLINE vec vec_load(const real *p) { return _mm_loadu_ps(p); }
INLINE void vec_store(real *p, vec v) { _mm_storeu_ps(p, v); }
INLINE vec_mask vec_mask_first(int n) { return n; }

INLINE vec vec_load_first(const real *p, vec_mask m)
{
    if (m > 3)
        return _mm_loadu_ps(p);
    __m128 low = m > 1 ? _mm_castsi128_ps(_mm_loadl_epi64((const __m128i *)p)) : _mm_setzero_ps();
    __m128 last = m & 1 ? _mm_load_ss(p + m - 1) : _mm_setzero_ps();
    return m > 1 ? _mm_movelh_ps(low, last) : last;
}

INLINE void vec_store_first(real *p, vec_mask m, vec v)
{
    if (m > 3)
        _mm_storeu_ps(p, v);
    else if (m > 1)
        _mm_storel_epi64((__m128i *)p, _mm_castps_si128(v));
    if (m == 3)
        _mm_store_ss(p + 2, _mm_movehl_ps(v, v));
    else if (m == 1)
        _mm_store_ss(p, v);
}

INLINE vec vec_set1(real a) { return _mm_set1_ps(a); }
INLINE vec vec_zero(void) { return _mm_setzero_ps(); }
INLINE vec vec_add(vec a, vec b) { return _mm_add_ps(a, b); }
INLINE vec vec_sub(vec a, vec b) { return _mm_sub_ps(a, b); }
INLINE vec vec_mul(vec a, vec b) { return _mm_mul_ps(a, b); }
INLINE vec vec_div(vec a, vec b) { return _mm_div_ps(a, b); }
INLINE vec vec_sqrt(vec a) { return _mm_sqrt_ps(a); }
INLINE vec vec_fma(vec a, vec b, vec c) { return _mm_add_ps(_mm_mul_ps(a, b), c); }
INLINE vec vec_fnma(vec a, vec b, vec c) { return _mm_sub_ps(c, _mm_mul_ps(a, b)); }
INLINE vec vec_max(vec a, vec b) { return _mm_max_ps(a, b); }
INLINE vec vec_min(vec a, vec b) { return _mm_min_ps(a, b); }
INLINE vec vec_abs(vec a) { return _mm_andnot_ps(_mm_set1_ps(-0.0f), a); }
INLINE vec vec_neg(vec a) { return _mm_xor_ps(a, _mm_set1_ps(-0.0f)); }
INLINE vec vec_copysign(vec a, vec b) { return _mm_or_ps(vec_abs(a), _mm_and_ps(b, _mm_set1_ps(-0.0f))); }
INLINE vec_cond vec_lt(vec a, vec b) { return _mm_cmplt_ps(a, b); }
INLINE vec_cond vec_le(vec a, vec b) { return _mm_cmple_ps(a, b); }
INLINE vec_cond vec_eq(vec a, vec b) { return _mm_cmpeq_ps(a, b); }
INLINE vec_cond vec_not(vec_cond c) { return _mm_xor_ps(c, _mm_castsi128_ps(_mm_set1_epi32(-1))); }
INLINE vec_cond vec_and_cond(vec_cond a, vec_cond b) { return _mm_and_ps(a, b); }
INLINE int vec_find(vec_cond c) { return __builtin_ctz((unsigned)_mm_movemask_ps(c) | 1u << LANES); }

INLINE vec_cond vec_cond_first(int n)
{
    return _mm_castsi128_ps(_mm_cmplt_epi32(_mm_setr_epi32(0, 1, 2, 3), _mm_set1_epi32(n)));
}

INLINE vec vec_select(vec_cond c, vec a, vec b) { return _mm_or_ps(_mm_and_ps(c, a), _mm_andnot_ps(c, b)); }

INLINE vec vec_round(vec a)
{
    __m128 sign = _mm_and_ps(a, _mm_set1_ps(-0.0f)), size = _mm_xor_ps(a, sign);
    __m128 rounded = _mm_cvtepi32_ps(_mm_cvtps_epi32(size));
    __m128 has_fraction = _mm_cmplt_ps(size, _mm_set1_ps(1 << MANTISSA_BITS));
    return _mm_or_ps(vec_select(has_fraction, rounded, size), sign);
}

INLINE vec vec_power_of_2(__m128i n)
{
    return _mm_castsi128_ps(_mm_slli_epi32(_mm_add_epi32(n, _mm_set1_epi32(EXPONENT_BIAS)), MANTISSA_BITS));
}

INLINE vec vec_ldexp(vec a, vec n)
{
    __m128i whole = _mm_cvttps_epi32(n), half = _mm_srai_epi32(whole, 1);
    a = _mm_mul_ps(a, vec_power_of_2(half));
    return _mm_mul_ps(a, vec_power_of_2(_mm_sub_epi32(whole, half)));
}

INLINE words words_mul(words a, words b) { return (words)_mm_mul_epu32((__m128i)a, (__m128i)b); }

INLINE vec vec_exponent(vec a)
{
    __m128i bits = _mm_srli_epi32(_mm_castps_si128(a), MANTISSA_BITS);
    return _mm_cvtepi32_ps(_mm_sub_epi32(bits, _mm_set1_epi32(EXPONENT_BIAS)));
}

INLINE vec vec_mantissa(vec a)
{
    __m128i fraction = _mm_and_si128(_mm_castps_si128(a), _mm_set1_epi32((1 << MANTISSA_BITS) - 1));
    return _mm_castsi128_ps(_mm_or_si128(fraction, _mm_set1_epi32(EXPONENT_BIAS << MANTISSA_BITS)));
}

INLINE vec vec_down(vec v, int step)
{
    return step == 2 ? _mm_shuffle_ps(v, v, 0x0E) : _mm_shuffle_ps(v, v, 0x01);
}

INLINE real vec_first(vec v) { return _mm_cvtss_f32(v); }
INLINE void vec_transpose(vec v[LANES]) { _MM_TRANSPOSE4_PS(v[0], v[1], v[2], v[3]); }

#elif defined(VEC_BASELINE) /* ---------------------------------------------------------- generic C: an array of lanes */

#include <math.h>

enum { LANES = 4 };
#define TILE_VECS 2
#define TILE_ROWS(vecs) ((vecs) > 4 ? 1 : (vecs) > 2 ? 2 : 4)

typedef struct { real lane[LANES]; } vec;
typedef uint64_t words __attribute__((vector_size(16)));
typedef struct { int lane[LANES]; } vec_cond;
typedef int vec_mask; /* how many lanes */

/* A function body: every lane of the result from the same lane, i, of the arguments. */
#define EACH_LANE(type, value)                                                                                         \
    {                                                                                                                  \
        type result;                                                                                                   \
        for (int i = 0; i < LANES; i++)                                                                                \
            result.lane[i] = (value);                                                                                  \
        return result;                                                                                                 \
    }

INLINE int32_t real_bits(real a)
{
    int32_t bits;
    memcpy(&bits, &a, sizeof bits);
    return bits;
}

INLINE real real_of_bits(int32_t bits)
{
    real a;
    memcpy(&a, &bits, sizeof a);
    return a;
}

INLINE real real_power_of_2(int n) { return real_of_bits((int32_t)((uint32_t)(n + EXPONENT_BIAS) << MANTISSA_BITS)); }

INLINE real real_ldexp(real a, real n)
{
    int whole = n > -1000 && n < 1000 ? (int)n : 0, half = whole / 2; /* NaN has no integer */
    return a * real_power_of_2(half) * real_power_of_2(whole - half);
}

INLINE vec vec_load(const real *p) EACH_LANE(vec, p[i])
INLINE void vec_store(real *p, vec v) { memcpy(p, v.lane, sizeof v.lane); }
INLINE vec_mask vec_mask_first(int n) { return n; }
INLINE vec vec_load_first(const real *p, vec_mask m) EACH_LANE(vec, i < m ? p[i] : 0)

INLINE void vec_store_first(real *p, vec_mask m, vec v)
{
    for (int i = 0; i < m; i++)
        p[i] = v.lane[i];
}

INLINE vec vec_set1(real a) EACH_LANE(vec, a)
INLINE vec vec_zero(void) EACH_LANE(vec, 0)
INLINE vec vec_add(vec a, vec b) EACH_LANE(vec, a.lane[i] + b.lane[i])
INLINE vec vec_sub(vec a, vec b) EACH_LANE(vec, a.lane[i] - b.lane[i])
INLINE vec vec_mul(vec a, vec b) EACH_LANE(vec, a.lane[i] * b.lane[i])
INLINE vec vec_div(vec a, vec b) EACH_LANE(vec, a.lane[i] / b.lane[i])
INLINE vec vec_sqrt(vec a) EACH_LANE(vec, (real)sqrt(a.lane[i]))
INLINE vec vec_fma(vec a, vec b, vec c) EACH_LANE(vec, a.lane[i] * b.lane[i] + c.lane[i])
INLINE vec vec_fnma(vec a, vec b, vec c) EACH_LANE(vec, c.lane[i] - a.lane[i] * b.lane[i])
INLINE vec vec_max(vec a, vec b) EACH_LANE(vec, a.lane[i] > b.lane[i] ? a.lane[i] : b.lane[i])
INLINE vec vec_min(vec a, vec b) EACH_LANE(vec, a.lane[i] < b.lane[i] ? a.lane[i] : b.lane[i])
INLINE vec vec_abs(vec a) EACH_LANE(vec, real_of_bits(real_bits(a.lane[i]) & ~SIGN_BIT))
INLINE vec vec_neg(vec a) EACH_LANE(vec, real_of_bits(real_bits(a.lane[i]) ^ SIGN_BIT))
INLINE vec vec_copysign(vec a, vec b) EACH_LANE(vec, (real)copysign(a.lane[i], b.lane[i]))
INLINE vec_cond vec_lt(vec a, vec b) EACH_LANE(vec_cond, a.lane[i] < b.lane[i])
INLINE vec_cond vec_le(vec a, vec b) EACH_LANE(vec_cond, a.lane[i] <= b.lane[i])
INLINE vec_cond vec_eq(vec a, vec b) EACH_LANE(vec_cond, a.lane[i] == b.lane[i])
INLINE vec_cond vec_not(vec_cond c) EACH_LANE(vec_cond, !c.lane[i])
INLINE vec_cond vec_and_cond(vec_cond a, vec_cond b) EACH_LANE(vec_cond, a.lane[i] & b.lane[i])
INLINE vec_cond vec_cond_first(int n) EACH_LANE(vec_cond, i < n)

INLINE int vec_find(vec_cond c)
{
    int i = 0;
    while (i < LANES && !c.lane[i])
        i++;
    return i;
}

INLINE vec vec_select(vec_cond c, vec a, vec b) EACH_LANE(vec, c.lane[i] ? a.lane[i] : b.lane[i])
INLINE vec vec_round(vec a) EACH_LANE(vec, (real)rint(a.lane[i]))
INLINE vec vec_ldexp(vec a, vec n) EACH_LANE(vec, real_ldexp(a.lane[i], n.lane[i]))
INLINE words words_mul(words a, words b) { return (a & 0xFFFFFFFF) * (b & 0xFFFFFFFF); }
INLINE vec vec_exponent(vec a) EACH_LANE(vec, (real)((real_bits(a.lane[i]) >> MANTISSA_BITS) - EXPONENT_BIAS))

INLINE vec vec_mantissa(vec a)
    EACH_LANE(vec, real_of_bits((real_bits(a.lane[i]) & ((1 << MANTISSA_BITS) - 1)) | EXPONENT_BIAS << MANTISSA_BITS))

INLINE vec vec_down(vec v, int step) EACH_LANE(vec, v.lane[(i + step) % LANES])
INLINE real vec_first(vec v) { return v.lane[0]; }

INLINE void vec_transpose(vec v[LANES])
{
    for (int i = 0; i < LANES; i++)
        for (int j = 0; j < i; j++) {
            real t = v[i].lane[j];
            v[i].lane[j] = v[j].lane[i];
            v[j].lane[i] = t;
        }
}

#else
#error "Define VEC_AVX512, VEC_AVX2, VEC_NEON or VEC_BASELINE before including vec.h."
#endif

/* ---------------------------------------------------------------------------------------------- for every section */

/* Reductions go over 16 lanes, held in WIDE vectors, so that their order does not depend on LANES. */
#define WIDE (16 / LANES)

/* Lanes i and i + 8, then i + 4, i + 2, i + 1. */
INLINE real wide_sum(const vec v[WIDE])
{
    vec s[WIDE];
    for (int i = 0; i < WIDE; i++)
        s[i] = v[i];
    for (int half = WIDE / 2; half > 0; half /= 2)
        for (int i = 0; i < half; i++)
            s[i] = vec_add(s[i], s[i + half]);
    for (int step = LANES / 2; step > 0; step /= 2)
        s[0] = vec_add(s[0], vec_down(s[0], step));
    return vec_first(s[0]);
}

/* The same tree of vec_max. */
INLINE real wide_max(const vec v[WIDE])
{
    vec s[WIDE];
    for (int i = 0; i < WIDE; i++)
        s[i] = v[i];
    for (int half = WIDE / 2; half > 0; half /= 2)
        for (int i = 0; i < half; i++)
            s[i] = vec_max(s[i], s[i + half]);
    for (int step = LANES / 2; step > 0; step /= 2)
        s[0] = vec_max(s[0], vec_down(s[0], step));
    return vec_first(s[0]);
}

#endif
