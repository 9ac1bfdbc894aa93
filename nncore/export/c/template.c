/* $title

$layers

   It needs math.h, and no memory but its own. What calls it declares

     void ${p}_predict(const float *x, float *y);
     void ${p}_predict_with(const float *x, float *y, float *workspace);

$usage

   Where a multiply-add rounds once, y has the bits of nncore's model.predict on AVX2, AVX-512 and NEON:

     cc -std=c99 -O3 -mavx2 -mfma -fno-math-errno -fno-trapping-math -c $file      x86-64
     cc -std=c99 -O3 -fno-math-errno -fno-trapping-math -c $file                   AArch64

   On a machine without such an instruction products are rounded before they are added, as on nncore's "baseline", and y
   is right to rounding; -DNNCORE_FMA=1 then takes fmaf() all the same, slower and with those bits. What else matters:
   floats are IEEE 754's, evaluated as float (for 32-bit x86: -msse2 -mfpmath=sse) and rounded to nearest; no -ffast-math.
   nncore takes numbers below 2^-126 for 0. They are kept here, unless the caller has the processor flush them, or on
   x86-64 by -DNNCORE_FLUSH, which sets that mode for the time of a call.

   -DNNCORE_TEST adds ${p}_test(), which compares the predictions of $tests samples with those of model.predict, and
   returns how many numbers differ. -DNNCORE_MAIN adds that and a main(). It predicts one sample, its arguments, or all
   those in its input, numbers between spaces; where its argument is --test, it tests:

     cc -std=c99 -O3 -mavx2 -mfma -DNNCORE_MAIN $file -lm -o $p && ./$p --test
*/

#include <math.h>
#include <stdint.h>

#if defined(__FAST_MATH__) || (defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__)
#error "Compile without -ffast-math: it does away with NaN, infinity and the order of sums."
#endif

#ifndef NNCORE_FMA
#if defined(__FMA__) || defined(__ARM_FEATURE_FMA) || defined(FP_FAST_FMAF)
#define NNCORE_FMA 1
#else
#define NNCORE_FMA 0
#endif
#endif

/* a b + c, rounded once or twice; and no other product and sum is to be contracted to it. */
#if NNCORE_FMA
#define FMA(a, b, c) fmaf(a, b, c)
#else
#define FMA(a, b, c) ((a) * (b) + (c))
#endif
#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#elif defined(__GNUC__)
#pragma GCC optimize("fp-contract=off")
#elif defined(_MSC_VER)
#pragma fp_contract(off)
#endif

enum {
    ${P}_INPUTS = $inputs,
    ${P}_OUTPUTS = $outputs,
    ${P}_WORKSPACE = $workspace,
    ${P}_PARAMETERS = $parameters,
    ${P}_TESTS = $tests
};

void ${p}_predict(const float *x, float *y);
void ${p}_predict_with(const float *x, float *y, float *workspace);

/* -------------------------------------------------------------------------------------------------------- functions */

$functions

/* ---------------------------------------------------------------------------------------------------------- weights */

$weights

/* -------------------------------------------------------------------------------------------------------- the model */

#ifdef NNCORE_FLUSH
#include <xmmintrin.h>
__attribute__((noinline))
#endif
static void run(const float *x, float *y, float *workspace)
{
$calls
}

void ${p}_predict_with(const float *x, float *y, float *workspace)
{
#ifdef NNCORE_FLUSH
    const unsigned mode = _mm_getcsr();
    _mm_setcsr(0x9FC0u); /* flush to zero, denormals are zero, round to nearest, no traps */
    run(x, y, workspace);
    _mm_setcsr(mode);
#else
    run(x, y, workspace);
#endif
}

void ${p}_predict(const float *x, float *y)
{
    static float workspace[${P}_WORKSPACE];
    ${p}_predict_with(x, y, workspace);
}

/* ------------------------------------------------------------------------------------------------------------- test */

#if defined(NNCORE_TEST) || defined(NNCORE_MAIN)

$test_x

$test_y

int ${p}_test(void);

/* How many outputs differ from those of model.predict on $backend: in any bit where multiply-adds are rounded
   alike there and here, else by more than 1e-5 of it or of 1. Both may be NaN, and what is below 2^-126 may be 0. */
int ${p}_test(void)
{
    static float y[${P}_OUTPUTS];
    int wrong = 0;
    for (int i = 0; i < ${P}_TESTS; i++) {
        ${p}_predict(${p}_test_x + i * ${P}_INPUTS, y);
        for (int j = 0; j < ${P}_OUTPUTS; j++) {
            const float expected = ${p}_test_y[i * ${P}_OUTPUTS + j], size = fabsf(expected);
            const float allowed = NNCORE_FMA == $fma ? 0x1p-126f : 1e-5f * (size > 1.0f ? size : 1.0f);
            const int same = y[j] == expected || (y[j] != y[j] && expected != expected);
            wrong += !same && !(fabsf(y[j] - expected) < allowed);
        }
    }
    return wrong;
}

#endif

#ifdef NNCORE_MAIN

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void print_prediction(const float *x)
{
    static float y[${P}_OUTPUTS];
    ${p}_predict(x, y);
    for (int j = 0; j < ${P}_OUTPUTS; j++)
        printf("%.9g%c", (double)y[j], j + 1 < ${P}_OUTPUTS ? ' ' : '\n');
}

int main(int count, char **arguments)
{
    static float x[${P}_INPUTS];
    if (count == 2 && strcmp(arguments[1], "--test") == 0) {
        const int wrong = ${p}_test();
        printf("${p}: %d of %d outputs differ\n", wrong, ${P}_TESTS * ${P}_OUTPUTS);
        return wrong != 0;
    }
    if (count > 1) {
        if (count != ${P}_INPUTS + 1) {
            fprintf(stderr, "A sample has %d numbers. Received: %d.\n", ${P}_INPUTS, count - 1);
            return 2;
        }
        for (int i = 0; i < ${P}_INPUTS; i++) {
            char *end;
            x[i] = strtof(arguments[i + 1], &end);
            if (*end != 0 || end == arguments[i + 1]) {
                fprintf(stderr, "A sample is made of numbers. Received: %s.\n", arguments[i + 1]);
                return 2;
            }
        }
        print_prediction(x);
        return 0;
    }
    for (;;) {
        int i = 0;
        while (i < ${P}_INPUTS && scanf("%f", x + i) == 1)
            i++;
        if (i < ${P}_INPUTS) {
            if (i > 0 || !feof(stdin)) {
                fprintf(stderr, "The input ends, or has no number, within a sample of %d numbers.\n", ${P}_INPUTS);
                return 2;
            }
            return 0;
        }
        print_prediction(x);
    }
}

#endif
