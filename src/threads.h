/* A team of threads: a caller deals the shares of a job, and does those that no helper has come for.

   Helpers are started when first needed and kept. A helper that waits spins for SPIN_SECONDS and then sleeps, so an idle
   team costs nothing; one that comes late finds no share left and costs nothing either. Where other programs keep the
   helpers from their cores, so that the caller waits for a share that stands still, it works alone for a while. One caller
   has the team at a time: another one does its whole work alone, with the same bits. After fork() the child starts helpers
   of its own. */
#ifndef NNCORE_THREADS_H
#define NNCORE_THREADS_H

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

#ifdef _WIN32
#define NN_EXPORT __declspec(dllexport)
#else
#define NN_EXPORT __attribute__((visibility("default")))
#endif

enum { NN_MOST_THREADS = 256 };

#define SPIN_SECONDS 20e-6
#define LONG_WAIT 100e-6 /* seconds that a caller waits before it doubts its helpers, */
#define ALONE 20         /* and then does without them for so many times what was lost */

/* A team's job: share `share` of `shares`, done by thread `thread`, of which the caller is 0. */
typedef void (*nn_job)(void *context, int share, int shares, int thread);

static struct {
    nn_mutex mutex;
    nn_condition changed;
    int sleepers; /* threads in nn_sleep; under the mutex */
    int busy;     /* whether a caller has the team: only it changes what follows, but for the ticket and what is counted */
    int helpers;  /* started so far */
    nn_job job;
    void *context;
    int core;           /* the caller's, -1: not known */
    double alone_until; /* when to try helpers again */
    uint64_t ticket;    /* the number of the deal, its shares (16 bits), the next share (16 bits) */
    int left;           /* shares of the deal that are not done */
    int crowded;        /* whether a helper found itself on the caller's core */
} nn_team = {.mutex = NN_MUTEX, .changed = NN_CONDITION};

static int nn_limit; /* the most threads that a job gets; 0: not set yet */
static __thread int nn_own_limit; /* the same for jobs of this thread alone, in its place; 0: there is none */

#define NN_LOAD(p) __atomic_load_n(p, __ATOMIC_SEQ_CST)
#define NN_STORE(p, v) __atomic_store_n(p, v, __ATOMIC_SEQ_CST)

/* Wakes the threads that sleep, after what they wait for has changed. */
static void nn_wake(void) {
    if (!NN_LOAD(&nn_team.sleepers))
        return;
    nn_lock(&nn_team.mutex);
    nn_wake_all(&nn_team.changed);
    nn_unlock(&nn_team.mutex);
}

/* Waits until `waiting` is false: awake at first, then asleep. */
#define NN_WAIT_WHILE(waiting)                                                                                         \
    do {                                                                                                               \
        const double nn_until = nn_seconds() + SPIN_SECONDS;                                                           \
        while ((waiting) && nn_seconds() < nn_until)                                                                   \
            for (int nn_i = 0; nn_i < 16 && (waiting); nn_i++)                                                         \
                NN_PAUSE();                                                                                            \
        if (waiting) {                                                                                                 \
            nn_lock(&nn_team.mutex);                                                                                   \
            __atomic_fetch_add(&nn_team.sleepers, 1, __ATOMIC_SEQ_CST);                                                \
            while (waiting)                                                                                            \
                nn_sleep(&nn_team.changed, &nn_team.mutex);                                                            \
            __atomic_fetch_sub(&nn_team.sleepers, 1, __ATOMIC_SEQ_CST);                                                \
            nn_unlock(&nn_team.mutex);                                                                                 \
        }                                                                                                              \
    } while (0)

/* Whether a deal has a share left for `thread`. */
static int nn_has_share(uint64_t ticket, int thread) {
    const int shares = (int)(ticket >> 16 & 0xFFFF), next = (int)(ticket & 0xFFFF);
    return next < shares && thread < shares;
}

/* Takes a share for `thread` and returns how many there are, 0 where none is left. */
static int nn_claim(int thread, int *share) {
    uint64_t ticket = NN_LOAD(&nn_team.ticket);
    while (nn_has_share(ticket, thread))
        if (__atomic_compare_exchange_n(&nn_team.ticket, &ticket, ticket + 1, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
            *share = (int)(ticket & 0xFFFF);
            return (int)(ticket >> 16 & 0xFFFF);
        }
    return 0;
}

/* Does shares until none is left. What a deal has set stays until all its shares are done: so it is there for the one
   that is claimed. */
static void nn_do_shares(int thread) {
    int share, shares;
    while ((shares = nn_claim(thread, &share)) > 0) {
        if (thread > 0 && nn_team.core >= 0 && nn_core() == nn_team.core)
            NN_STORE(&nn_team.crowded, 1);
        nn_team.job(nn_team.context, share, shares, thread);
        if (__atomic_sub_fetch(&nn_team.left, 1, __ATOMIC_SEQ_CST) == 0)
            nn_wake();
    }
}

static void nn_help(void *argument) {
    const int thread = (int)(intptr_t)argument;
    for (;;) {
        NN_WAIT_WHILE(!nn_has_share(NN_LOAD(&nn_team.ticket), thread));
        nn_do_shares(thread);
    }
}

/* Helpers exist in the parent only, and nobody in the child holds the mutex. */
static void nn_after_fork(void) {
    const nn_mutex mutex = NN_MUTEX;
    const nn_condition changed = NN_CONDITION;
    memset(&nn_team, 0, sizeof nn_team);
    nn_team.mutex = mutex;
    nn_team.changed = changed;
}

/* Starts helpers until there are `wanted`, or no more can be had; returns how many there are. */
static int nn_start_helpers(int wanted) {
    while (nn_team.helpers < wanted && nn_start_thread(nn_help, (void *)(intptr_t)(nn_team.helpers + 1)))
        nn_team.helpers++;
    return nn_team.helpers;
}

/* Takes the team for up to `threads` threads; returns how many there are, 1 where the caller is alone. What it returns is
   for nn_leave_team. */
static int nn_take_team(int threads) {
    static int prepared;
    if (threads > NN_MOST_THREADS)
        threads = NN_MOST_THREADS;
    if (threads <= 1 || __atomic_exchange_n(&nn_team.busy, 1, __ATOMIC_SEQ_CST))
        return 1;
    if (!prepared) {
        prepared = 1;
        nn_at_fork(nn_after_fork);
    }
    const int helpers = nn_start_helpers(threads - 1);
    if (helpers == 0)
        NN_STORE(&nn_team.busy, 0);
    return threads > helpers + 1 ? helpers + 1 : threads;
}

static void nn_leave_team(int threads) {
    if (threads > 1)
        NN_STORE(&nn_team.busy, 0);
}

/* Does all shares of a job, with those helpers that come in time. The caller has the team, of `shares` threads. */
static void nn_deal(nn_job job, void *context, int shares) {
    const double start = nn_seconds();
    if (start < nn_team.alone_until) {
        job(context, 0, 1, 0);
        return;
    }
    nn_team.job = job;
    nn_team.context = context;
    nn_team.core = nn_core();
    NN_STORE(&nn_team.crowded, 0);
    NN_STORE(&nn_team.left, shares);
    NN_STORE(&nn_team.ticket, ((NN_LOAD(&nn_team.ticket) >> 32) + 1) << 32 | (uint64_t)shares << 16);
    nn_wake();
    nn_do_shares(0);
    const double done = nn_seconds();
    NN_WAIT_WHILE(NN_LOAD(&nn_team.left) > 0);
    const double end = nn_seconds(), waited = end - done;
    if (NN_LOAD(&nn_team.crowded)) /* they took turns on one core */
        nn_team.alone_until = end + ALONE * (end - start);
    else if (waited > LONG_WAIT && waited > (done - start) / 2)
        nn_team.alone_until = end + ALONE * waited;
}

/* Exported, so that tools which list a process's thread pools can tell this library by it. */
NN_EXPORT int nncore_threads(void);
NN_EXPORT int nncore_threads(void) { return __atomic_load_n(&nn_limit, __ATOMIC_RELAXED); }

static int nn_get_limit(void) { return nn_own_limit ? nn_own_limit : __atomic_load_n(&nn_limit, __ATOMIC_RELAXED); }

static void nn_set_limit(int threads) {
    __atomic_store_n(&nn_limit, threads < NN_MOST_THREADS ? threads : NN_MOST_THREADS, __ATOMIC_RELAXED);
}

#endif
