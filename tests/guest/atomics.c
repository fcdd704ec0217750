/* Contended atomics: LR/SC and AMO sums must be exact among threads and among processes.
 * timeout: 120
 * reference: self it is made of riscv64 instructions and checks its own sums
 */
#include "test.h"
#include <pthread.h>
#include <sys/mman.h>

enum { WORKERS = 4, ROUNDS = 20000 };

static struct {
    uint32_t add_w, lrsc_w, or_w, and_w, xor_w, swap_w;
    uint64_t add_d, lrsc_d, max_d, min_d, spin, guarded, swap_sum, cas_d;
    uint8_t byte;
    uint16_t half;
    int32_t max_w, min_w;
    uint32_t maxu_w, minu_w;
} * shared, on_heap __attribute__((aligned(64)));

#define AMO(op, address, value)                         \
    ({                                                  \
        unsigned long old_;                             \
        __asm__ volatile(op " %0, %2, %1"               \
                         : "=r"(old_), "+A"(*(address)) \
                         : "r"((unsigned long)(value))  \
                         : "memory");                   \
        old_;                                           \
    })

static void lrsc_add_w(uint32_t *word)
{
    unsigned long t;
    __asm__ volatile("1: lr.w.aqrl %0, %1\n addiw %0, %0, 1\n sc.w.rl %0, %0, %1\n bnez %0, 1b"
                     : "=&r"(t), "+A"(*word)::"memory");
}

static void lrsc_add_d(uint64_t *word)
{
    unsigned long t;
    __asm__ volatile("1: lr.d %0, %1\n addi %0, %0, 1\n sc.d %0, %0, %1\n bnez %0, 1b"
                     : "=&r"(t), "+A"(*word)::"memory");
}

static void spin_lock(uint64_t *lock)
{
    while (AMO("amoswap.d.aq", lock, 1))
        sched_yield();
}

static void *hammer(void *arg)
{
    long me = (long)arg;
    uint64_t swapped = 0;
    for (long i = 0; i < ROUNDS; i++) {
        AMO("amoadd.w", &shared->add_w, 1);
        AMO("amoadd.d.aqrl", &shared->add_d, 0x100000001);
        lrsc_add_w(&shared->lrsc_w);
        lrsc_add_d(&shared->lrsc_d);
        AMO("amoor.w", &shared->or_w, 1U << (me * 8 + i % 8));
        AMO("amoand.w", &shared->and_w, ~(1U << (me * 8 + i % 8)));
        AMO("amoxor.w", &shared->xor_w, 1U << (i % 32));
        AMO("amomax.d", &shared->max_d, i * WORKERS + me);
        AMO("amomin.d", &shared->min_d, -(i * WORKERS + me));
        AMO("amomax.w", &shared->max_w, i - 10000);
        AMO("amomin.w", &shared->min_w, 10000 - i);
        AMO("amomaxu.w", &shared->maxu_w, 0x80000000U + (unsigned long)i);
        AMO("amominu.w", &shared->minu_w, 0xffffffffU - (unsigned long)i);
        swapped += AMO("amoswap.w", &shared->swap_w, 1);
        swapped -= 1;
        __atomic_add_fetch(&shared->byte, 1, __ATOMIC_SEQ_CST);
        __atomic_add_fetch(&shared->half, 3, __ATOMIC_RELAXED);
        uint64_t seen = __atomic_load_n(&shared->cas_d, __ATOMIC_RELAXED);
        while (!__atomic_compare_exchange_n(&shared->cas_d, &seen, seen * 3 + 1 - seen * 2, false,
                                            __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
            ;
        if (i % 4 == 0) {
            spin_lock(&shared->spin);
            shared->guarded++;
            AMO("amoswap.d.rl", &shared->spin, 0);
        }
    }
    AMO("amoadd.d", &shared->swap_sum, swapped);
    return NULL;
}

static void reset(void)
{
    memset(shared, 0, sizeof *shared);
    shared->and_w = 0xffffffff;
    shared->min_w = 0x7fffffff;
    shared->max_w = (int32_t)0x80000000;
    shared->minu_w = 0xffffffff;
    shared->swap_w = 1;
}

static void check(void)
{
    const long n = (long)WORKERS * ROUNDS;
    EQ("amoadd.w", shared->add_w, n);
    EQ("amoadd.d", shared->add_d, n * 0x100000001);
    EQ("lr.w/sc.w", shared->lrsc_w, n);
    EQ("lr.d/sc.d", shared->lrsc_d, n);
    EQ("amoor.w", shared->or_w, 0xffffffff);
    EQ("amoand.w", shared->and_w, 0);
    EQ("amoxor.w", shared->xor_w, 0);
    EQ("amomax.d", shared->max_d, n - 1);
    EQ("amomin.d", shared->min_d, -(n - 1));
    EQ("amomax.w", shared->max_w, ROUNDS - 1 - 10000);
    EQ("amomin.w", shared->min_w, 10000 - (ROUNDS - 1));
    EQ("amomaxu.w", shared->maxu_w, 0x80000000U + ROUNDS - 1);
    EQ("amominu.w", shared->minu_w, 0xffffffffU - (ROUNDS - 1));
    EQ("amoswap.w", shared->swap_sum, 0);
    EQ("byte", shared->byte, (uint8_t)n);
    EQ("half", shared->half, (uint16_t)(n * 3));
    EQ("compare and exchange", shared->cas_d, n);
    EQ("spin lock", shared->guarded, n / 4);
}

static unsigned long sc_alone(uint64_t *word)
{
    unsigned long failed;
    __asm__ volatile("sc.d %0, zero, %1" : "=r"(failed), "+A"(*word)::"memory");
    return failed;
}

static unsigned long sc_elsewhere(uint64_t *from, uint64_t *to)
{
    unsigned long t, failed;
    __asm__ volatile("lr.d %0, %2\n sc.d %1, zero, %3"
                     : "=&r"(t), "=&r"(failed), "+A"(*from), "+A"(*to)::"memory");
    return failed;
}

static unsigned long sc_twice(uint64_t *word)
{
    unsigned long t, first, second;
    __asm__ volatile("lr.d %0, %3\n sc.d %1, %0, %3\n sc.d %2, %0, %3"
                     : "=&r"(t), "=&r"(first), "=&r"(second), "+A"(*word)::"memory");
    return first * 10 + second;
}

static void test_sc(void)
{
    static uint64_t words[64] = {[0] = 5, [32] = 6};
    EQ("sc after sc fails", sc_twice(&words[0]), 1);
    EQ("sc alone fails", sc_alone(&words[0]), 1);
    EQ("sc elsewhere fails", sc_elsewhere(&words[0], &words[32]), 1);
    OK("and writes nothing", words[0] == 5 && words[32] == 6);
    uint32_t narrow = 0x80000000;
    EQ("lr.w extends the sign", (long)AMO("amoadd.w", &narrow, 0), -0x80000000L);
}

/* The classic litmus test: with full fences at least one thread sees the other's store. */
static volatile int x, y, seen_x, seen_y, go;

static void *store_x(void *arg)
{
    for (int round = 1; round <= 20000; round++) {
        for (int spins = 1; __atomic_load_n(&go, __ATOMIC_ACQUIRE) < round; spins++)
            if (spins % 1000 == 0)
                sched_yield();
        x = round;
        __asm__ volatile("fence rw, rw" ::: "memory");
        seen_y = y;
        __atomic_add_fetch((int *)arg, 1, __ATOMIC_ACQ_REL);
    }
    return NULL;
}

static void test_fence(void)
{
    pthread_t thread;
    int done = 0, both_missed = 0;
    cpu_set_t cpus;
    sched_getaffinity(0, sizeof cpus, &cpus);
    if (CPU_COUNT(&cpus) < 2) {
        EQ("store buffering with fences", both_missed, 0);
        return;
    }
    pthread_create(&thread, NULL, store_x, &done);
    for (int round = 1; round <= 20000; round++) {
        __atomic_store_n(&go, round, __ATOMIC_RELEASE);
        y = round;
        __asm__ volatile("fence rw, rw" ::: "memory");
        seen_x = x;
        for (int spins = 1; __atomic_load_n(&done, __ATOMIC_ACQUIRE) < round; spins++)
            if (spins % 1000 == 0)
                sched_yield();
        both_missed += seen_x != round && seen_y != round;
    }
    pthread_join(thread, NULL);
    EQ("store buffering with fences", both_missed, 0);
}

int main(void)
{
    pthread_t threads[WORKERS];
    shared = (void *)&on_heap;
    reset();
    for (long i = 0; i < WORKERS; i++)
        pthread_create(&threads[i], NULL, hammer, (void *)i);
    for (int i = 0; i < WORKERS; i++)
        pthread_join(threads[i], NULL);
    say("threads:");
    check();
    shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    reset();
    for (long i = 0; i < WORKERS; i++)
        if (fork() == 0) {
            hammer((void *)i);
            _exit(0);
        }
    while (wait(NULL) > 0)
        ;
    say("processes:");
    check();
    test_sc();
    test_fence();
    return test_end();
}
