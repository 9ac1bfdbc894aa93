/* Numbers too small for a normal exponent cost a hundred times a multiply-add: kernels run with them flushed to zero.

       nn_float_mode mode = nn_flush_denormals();
       ... kernels ...
       nn_restore_denormals(mode);

   Between the two, denormal arguments and results are zero, rounding is to nearest and nothing traps, whatever the
   caller had set; afterwards the thread has back its own mode, with the exception flags it had. */
#ifndef NNCORE_DENORMALS_H
#define NNCORE_DENORMALS_H

#include <stdint.h>

typedef uint64_t nn_float_mode;

#if defined(__x86_64__) || defined(__SSE__)

#include <xmmintrin.h>

static inline nn_float_mode nn_flush_denormals(void)
{
    const unsigned all_masked = 0x1F80, flush_to_zero = 0x8000, denormals_are_zero = 0x0040;
    const nn_float_mode mode = _mm_getcsr();
    _mm_setcsr(all_masked | flush_to_zero | denormals_are_zero);
    return mode;
}

static inline void nn_restore_denormals(nn_float_mode mode) { _mm_setcsr((unsigned)mode); }

#elif defined(__aarch64__)

static inline nn_float_mode nn_flush_denormals(void)
{
    const nn_float_mode flush = 1u << 24;
    nn_float_mode mode;
    __asm__ volatile("mrs %0, fpcr" : "=r"(mode) : : "memory");
    __asm__ volatile("msr fpcr, %0" : : "r"(flush) : "memory");
    return mode;
}

static inline void nn_restore_denormals(nn_float_mode mode)
{
    __asm__ volatile("msr fpcr, %0" : : "r"(mode) : "memory");
}

#else /* A machine whose mode we do not know keeps its denormals: slower where they occur, and as right. */

static inline nn_float_mode nn_flush_denormals(void) { return 0; }
static inline void nn_restore_denormals(nn_float_mode mode) { (void)mode; }

#endif
#endif
