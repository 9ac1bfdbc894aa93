/* A team of threads: the caller and helpers run one function, each its share, and meet at barriers.

   Helpers are started when first needed and kept. A helper that waits spins for SPIN_SECONDS and then sleeps, so an idle
   team costs nothing. One team works at a time: a caller that finds it at work does its whole work alone, with the same
   bits. After fork() the child starts helpers of its own. */
#ifndef NNCORE_THREADS_H
#define NNCORE_THREADS_H

#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>

#include "runtime.h"

#if defined(__x86_64__)
#define NN_PAUSE() __builtin_ia32_pause()
#elif defined(__aarch64__)
#define NN_PAUSE() __asm__ volatile("yield")
#else
#define NN_PAUSE() ((void)0)
#endif

enum { NN_MOST_THREADS = 256 };

#define SPIN_SECONDS 20e-6

/* The function of a team's job: share `part` of `parts`. */
typedef void (*nn_job)(void *context, int part, int parts);

static struct {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    int sleepers;    /* threads in pthread_cond_wait; under the mutex */
    int helpers;     /* started so far; only the caller that set `busy` changes it */
    int busy;        /* whether a caller has the team */
    uint64_t call;   /* number of the job in the upper bits, its parts in the lower 16; changes once a job */
    int working;     /* helpers that have not finished the job */
    int arrived;     /* threads at the barrier */
    uint32_t passed; /* barriers passed */
    uint64_t seen[NN_MOST_THREADS]; /* the last job before each helper was started */
    nn_job job;
    void *context;
} nn_team = {.mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static int nn_limit; /* the most threads that a job gets; 0: not set yet */

#define NN_LOAD(p) __atomic_load_n(p, __ATOMIC_SEQ_CST)
#define NN_STORE(p, v) __atomic_store_n(p, v, __ATOMIC_SEQ_CST)

/* Wakes the threads that sleep, after what they wait for has changed. */
static void nn_wake(void) {
    if (!NN_LOAD(&nn_team.sleepers))
        return;
    pthread_mutex_lock(&nn_team.mutex);
    pthread_cond_broadcast(&nn_team.changed);
    pthread_mutex_unlock(&nn_team.mutex);
}

/* Waits until `waiting` is false: awake at first, then asleep. */
#define NN_WAIT_WHILE(waiting)                                                                                         \
    do {                                                                                                               \
        const double nn_until = nn_seconds() + SPIN_SECONDS;                                                           \
        while ((waiting) && nn_seconds() < nn_until)                                                                   \
            for (int nn_i = 0; nn_i < 16 && (waiting); nn_i++)                                                         \
                NN_PAUSE();                                                                                            \
        if (waiting) {                                                                                                 \
            pthread_mutex_lock(&nn_team.mutex);                                                                        \
            __atomic_fetch_add(&nn_team.sleepers, 1, __ATOMIC_SEQ_CST);                                                \
            while (waiting)                                                                                            \
                pthread_cond_wait(&nn_team.changed, &nn_team.mutex);                                                   \
            __atomic_fetch_sub(&nn_team.sleepers, 1, __ATOMIC_SEQ_CST);                                                \
            pthread_mutex_unlock(&nn_team.mutex);                                                                      \
        }                                                                                                              \
    } while (0)

/* Waits until all `parts` threads of the job are here. */
static void nn_barrier(int parts) {
    if (parts == 1)
        return;
    const uint32_t passed = NN_LOAD(&nn_team.passed);
    if (__atomic_add_fetch(&nn_team.arrived, 1, __ATOMIC_SEQ_CST) == parts) {
        NN_STORE(&nn_team.arrived, 0);
        NN_STORE(&nn_team.passed, passed + 1);
        nn_wake();
    } else {
        NN_WAIT_WHILE(NN_LOAD(&nn_team.passed) == passed);
    }
}

static void *nn_help(void *argument) {
    const int part = (int)(intptr_t)argument;
    uint64_t call = nn_team.seen[part];
    for (;;) {
        NN_WAIT_WHILE(NN_LOAD(&nn_team.call) == call);
        call = NN_LOAD(&nn_team.call);
        const int parts = (int)(call & 0xFFFF);
        if (part >= parts)
            continue;
        nn_team.job(nn_team.context, part, parts);
        if (__atomic_sub_fetch(&nn_team.working, 1, __ATOMIC_SEQ_CST) == 0)
            nn_wake();
    }
    return NULL;
}

/* Helpers exist in the parent only, and nobody in the child holds the mutex. */
static void nn_after_fork(void) {
    memset(&nn_team, 0, sizeof nn_team);
    pthread_mutex_init(&nn_team.mutex, NULL);
    pthread_cond_init(&nn_team.changed, NULL);
}

/* Starts helpers until there are `wanted`, or no more can be had; returns how many there are. */
static int nn_start_helpers(int wanted) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are for the threads of the program */
    while (nn_team.helpers < wanted) {
        const int part = nn_team.helpers + 1;
        pthread_t thread;
        nn_team.seen[part] = nn_team.call;
        if (pthread_create(&thread, NULL, nn_help, (void *)(intptr_t)part) != 0)
            break;
        pthread_detach(thread);
        nn_team.helpers++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return nn_team.helpers;
}

/* Runs job(context, part, parts) on the caller (part 0) and helpers, on `parts` threads or as many as there are. */
static void nn_run_team(nn_job job, void *context, int parts) {
    static int prepared;
    if (parts > NN_MOST_THREADS)
        parts = NN_MOST_THREADS;
    if (parts <= 1 || __atomic_exchange_n(&nn_team.busy, 1, __ATOMIC_SEQ_CST)) {
        job(context, 0, 1);
        return;
    }
    if (!prepared) {
        prepared = 1;
        pthread_atfork(NULL, NULL, nn_after_fork);
    }
    const int helpers = nn_start_helpers(parts - 1);
    if (parts > helpers + 1)
        parts = helpers + 1;
    nn_team.job = job;
    nn_team.context = context;
    NN_STORE(&nn_team.working, parts - 1);
    NN_STORE(&nn_team.call, ((nn_team.call >> 16) + 1) << 16 | (uint64_t)parts);
    nn_wake();
    job(context, 0, parts);
    NN_WAIT_WHILE(NN_LOAD(&nn_team.working) > 0);
    NN_STORE(&nn_team.busy, 0);
}

/* Exported, so that tools which list a process's thread pools can tell this library by it. */
__attribute__((visibility("default"))) int nncore_threads(void);
int nncore_threads(void) { return __atomic_load_n(&nn_limit, __ATOMIC_RELAXED); }

static int nn_get_limit(void) { return __atomic_load_n(&nn_limit, __ATOMIC_RELAXED); }

static void nn_set_limit(int threads) {
    __atomic_store_n(&nn_limit, threads < NN_MOST_THREADS ? threads : NN_MOST_THREADS, __ATOMIC_RELAXED);
}

#endif
