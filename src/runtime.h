/* What the executor and its threads need of the system: a monotonic clock, locks, threads, and one block of memory kept
   between runs without a lock. */
#ifndef NNCORE_RUNTIME_H
#define NNCORE_RUNTIME_H

#include <Python.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#ifdef _WIN32 /* -------------------------------------------------------------------------------------------- Windows */

#define WIN32_LEAN_AND_MEAN
#include <windows.h>

static inline double nn_seconds(void) {
    LARGE_INTEGER now, rate;
    QueryPerformanceCounter(&now);
    QueryPerformanceFrequency(&rate);
    return (double)now.QuadPart / (double)rate.QuadPart;
}

typedef SRWLOCK nn_mutex;
typedef CONDITION_VARIABLE nn_condition;
#define NN_MUTEX SRWLOCK_INIT
#define NN_CONDITION CONDITION_VARIABLE_INIT

static inline void nn_lock(nn_mutex *m) { AcquireSRWLockExclusive(m); }
static inline void nn_unlock(nn_mutex *m) { ReleaseSRWLockExclusive(m); }
static inline void nn_sleep(nn_condition *c, nn_mutex *m) { SleepConditionVariableSRW(c, m, INFINITE, 0); }
static inline void nn_wake_all(nn_condition *c) { WakeAllConditionVariable(c); }

static inline int nn_core(void) { return (int)GetCurrentProcessorNumber(); }

/* There is neither fork() nor a signal that a thread could get. */
static inline void nn_at_fork(void (*in_child)(void)) { (void)in_child; }
static inline int nn_start_thread(void (*run)(void *), void *argument) {
    return PyThread_start_new_thread(run, argument) != PYTHREAD_INVALID_THREAD_ID;
}

#else /* ------------------------------------------------------------------------------------------------------- POSIX */

#include <pthread.h>
#include <signal.h>
#include <time.h>
#if defined(__linux__)
#include <sched.h>
#endif

/* Seconds since some moment that stays. */
static inline double nn_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

typedef pthread_mutex_t nn_mutex;
typedef pthread_cond_t nn_condition;
#define NN_MUTEX PTHREAD_MUTEX_INITIALIZER
#define NN_CONDITION PTHREAD_COND_INITIALIZER

static inline void nn_lock(nn_mutex *m) { pthread_mutex_lock(m); }
static inline void nn_unlock(nn_mutex *m) { pthread_mutex_unlock(m); }
static inline void nn_sleep(nn_condition *c, nn_mutex *m) { pthread_cond_wait(c, m); }
static inline void nn_wake_all(nn_condition *c) { pthread_cond_broadcast(c); }

/* The core this thread runs on, -1 where the system does not say. */
static inline int nn_core(void) {
#if defined(__linux__)
    return sched_getcpu();
#else
    return -1;
#endif
}

/* Lets each child of a fork() begin with `in_child`. */
static inline void nn_at_fork(void (*in_child)(void)) { pthread_atfork(NULL, NULL, in_child); }

/* Starts a thread that gets no signals, those being for the threads of the program; whether it could be had.

   By Python's function, and with sigprocmask where that is a thread's own mask: pthread_create and pthread_sigmask would
   bind a build against a new glibc to that glibc, and no older one could load it. */
static inline int nn_start_thread(void (*run)(void *), void *argument) {
#if defined(__linux__)
#define NN_SIGMASK sigprocmask
#else
#define NN_SIGMASK pthread_sigmask
#endif
    sigset_t all, before;
    sigfillset(&all);
    NN_SIGMASK(SIG_SETMASK, &all, &before);
    const int started = PyThread_start_new_thread(run, argument) != PYTHREAD_INVALID_THREAD_ID;
    NN_SIGMASK(SIG_SETMASK, &before, NULL);
    return started;
}

#endif /* --------------------------------------------------------------------------------------------- for all of them */

/* The first address at or after p that is a multiple of 64. */
static inline char *nn_align(void *p) { return (char *)(((uintptr_t)p + 63) & ~(uintptr_t)63); }

/* The first address of a block that is a multiple of 64 and not its size; up to 63 bytes of the block are lost. */
static inline char *nn_inside(void *block) { return nn_align((char *)block + sizeof(size_t)); }

/* The block in `slot`, which then is empty, or a new one, with `size` bytes after its first 64, which hold its size;
   NULL where there is no memory. In a new one, `head` bytes from nn_inside on are 0. Two threads never get the same
   block. */
static inline void *nn_take(void **slot, size_t size, size_t head) {
    size_t *block = __atomic_exchange_n(slot, NULL, __ATOMIC_ACQ_REL);
    if (block && *block >= size)
        return block;
    free(block);
    block = malloc(size + 64);
    if (block) {
        *block = size;
        memset(nn_inside(block), 0, head);
    }
    return block;
}

/* Keeps `block` in `slot` for the next nn_take, unless another thread's is there already. */
static inline void nn_give(void **slot, void *block) {
    free(__atomic_exchange_n(slot, block, __ATOMIC_ACQ_REL));
}

#endif
