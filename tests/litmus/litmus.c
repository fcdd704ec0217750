/* Litmus tests of the memory model: litmus [MILLISECONDS]
 *
 * The threads of a test run its code over arrays of cells, each a fresh set of variables, and meet before every cell. What they saw
 * is counted; an outcome that RVWMO forbids must never be among it. An allowed one need not be: whether it was seen is
 * told. Then counters and locks that threads share. Output is TAP. */
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { THREADS = 4, CELLS = 512, REGISTERS = 2, OUTCOMES = 64, LINE = 64, PATIENCE = 100000 };
enum verdict { FORBIDDEN, ALLOWED };

struct cell {
    _Alignas(LINE) int64_t x;
    _Alignas(LINE) int64_t y;
    _Alignas(LINE) int64_t z;
    _Alignas(LINE) unsigned arrived;
    _Alignas(LINE) int64_t seen[THREADS][REGISTERS];
};

typedef void body(struct cell *cell, int64_t *seen);

/* ---- The code of a thread ---- */

#define W(v, value) "sd %[" #value "], (%[" #v "])\n"
#define R(r, v)     "ld %[" #r "], (%[" #v "])\n"
#define F(p, s)     "fence " #p ", " #s "\n"
#define TSO         "fence.tso\n"
#define FSD(value, v)              \
    "fmv.d.x ft0, %[" #value "]\n" \
    "fsd ft0, (%[" #v "])\n"
#define FLD(r, v)            \
    "fld ft0, (%[" #v "])\n" \
    "fmv.x.d %[" #r "], ft0\n"

/* Dependencies on `r` that change nothing. */
#define ZERO_OF(r)          "xor %[t], %[" #r "], %[" #r "]\n"
#define R_ADDR(to, r, v)    ZERO_OF(r) "add %[t], %[t], %[" #v "]\nld %[" #to "], (%[t])\n"
#define W_ADDR(v, r, value) ZERO_OF(r) "add %[t], %[t], %[" #v "]\nsd %[" #value "], (%[t])\n"
#define W_DATA(v, r, value) ZERO_OF(r) "add %[t], %[t], %[" #value "]\nsd %[t], (%[" #v "])\n"
#define CTRL(r)             "bnez %[" #r "], 1f\n1:\n"

#define SWAP_LRSC(aq, rl, value, v)                  \
    "1: lr.d" #aq " %[t], (%[" #v "])\n"             \
    "sc.d" #rl " %[t], %[" #value "], (%[" #v "])\n" \
    "bnez %[t], 1b\n"

#define BODY(name, code)                                                                           \
    static void name(struct cell *cell, int64_t *seen)                                             \
    {                                                                                              \
        int64_t r0 = 0, r1 = 0, t;                                                                 \
        __asm__ volatile(code                                                                      \
                         : [r0] "+&r"(r0), [r1] "+&r"(r1), [t] "=&r"(t)                            \
                         : [x] "r"(&cell->x), [y] "r"(&cell->y), [z] "r"(&cell->z), [one] "r"(1L), \
                           [two] "r"(2L), [ones] "r"(0x100000001)                                  \
                         : "memory", "ft0");                                                       \
        seen[0] = r0;                                                                              \
        seen[1] = r1;                                                                              \
    }

#define TEST(id, name, verdict, outcome, p0, p1, p2, p3) \
    BODY(id##_0, p0) BODY(id##_1, p1) BODY(id##_2, p2) BODY(id##_3, p3)
#include "tests.def"
#undef TEST

#define USED(code) (sizeof(code) > 1)

static const struct test {
    const char *name;
    enum verdict verdict;
    const char *outcome;
    unsigned threads;
    body *bodies[THREADS];
} tests[] = {
#define TEST(id, name, verdict, outcome, p0, p1, p2, p3) \
    {name, verdict, outcome, USED(p0) + USED(p1) + USED(p2) + USED(p3), {id##_0, id##_1, id##_2, id##_3}},
#include "tests.def"
#undef TEST
};
enum { TESTS = sizeof(tests) / sizeof(tests[0]) };

/* ---- Outcomes ---- */

/* What a cell ended with: four bits for each value, registers first, then x and y. */
static uint64_t outcome_of(const struct cell *cell, unsigned threads)
{
    uint64_t key = 0;
    for (unsigned t = 0; t < threads; t++)
        for (unsigned r = 0; r < REGISTERS; r++)
            key |= (uint64_t)(cell->seen[t][r] & 15) << 4 * (t * REGISTERS + r);
    return key | (uint64_t)(cell->x & 15) << 32 | (uint64_t)(cell->y & 15) << 36;
}

static void outcome_print(char *text, size_t size, uint64_t key, unsigned threads)
{
    int n = 0;
    for (unsigned i = 0; i < threads * REGISTERS; i++)
        n += snprintf(text + n, size - (size_t)n, "%u:r%u=%u ", i / REGISTERS, i % REGISTERS,
                      (unsigned)(key >> 4 * i & 15));
    snprintf(text + n, size - (size_t)n, "x=%u y=%u", (unsigned)(key >> 32 & 15), (unsigned)(key >> 36 & 15));
}

/* Are all terms of `wanted` in the outcome? */
static bool outcome_matches(const char *wanted, uint64_t key, unsigned threads)
{
    char text[128], terms[128], *save;
    outcome_print(text, sizeof(text), key, threads);
    snprintf(terms, sizeof(terms), "%s", wanted);
    for (char *term = strtok_r(terms, " ", &save); term; term = strtok_r(NULL, " ", &save))
        if (!strstr(text, term))
            return false;
    return true;
}

struct histogram {
    unsigned count;
    struct {
        uint64_t key, times;
    } outcomes[OUTCOMES];
};

static void histogram_add(struct histogram *h, uint64_t key)
{
    unsigned i = 0;
    while (i < h->count && h->outcomes[i].key != key)
        i++;
    if (i == OUTCOMES)
        return;
    if (i == h->count) {
        h->count++;
        h->outcomes[i].key = key;
        h->outcomes[i].times = 0;
    }
    h->outcomes[i].times++;
}

/* ---- Running ---- */

struct run {
    const struct test *test;
    struct cell *cells;
    pthread_barrier_t barrier;
    bool stop;
};

struct worker {
    struct run *run;
    unsigned number;
};

/* Waits for the other threads, as long as patience lasts: they may not be on a processor now. Then a little, so that sometimes
 * one and sometimes another is the first. */
static void meet(struct cell *cell, unsigned threads, unsigned *patience, unsigned wait)
{
    __atomic_add_fetch(&cell->arrived, 1, __ATOMIC_RELAXED);
    while (*patience && __atomic_load_n(&cell->arrived, __ATOMIC_RELAXED) < threads)
        --*patience;
    while (wait--)
        __asm__ volatile("" ::: "memory");
}

static void *work(void *argument)
{
    const struct worker *w = argument;
    struct run *run = w->run;
    const struct test *test = run->test;
    for (;;) {
        pthread_barrier_wait(&run->barrier);
        if (run->stop)
            return NULL;
        unsigned patience = PATIENCE;
        for (unsigned i = 0; i < CELLS; i++) {
            struct cell *cell = &run->cells[i];
            meet(cell, test->threads, &patience, (i * (2 * w->number + 1)) % 256);
            test->bodies[w->number](cell, cell->seen[w->number]);
        }
        pthread_barrier_wait(&run->barrier);
    }
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void run_test(const struct test *test, double seconds, struct histogram *h)
{
    static struct cell cells[CELLS];
    struct run run = {.test = test, .cells = cells};
    pthread_t threads[THREADS];
    struct worker workers[THREADS];
    pthread_barrier_init(&run.barrier, NULL, test->threads + 1);
    for (unsigned i = 0; i < test->threads; i++) {
        workers[i] = (struct worker){&run, i};
        pthread_create(&threads[i], NULL, work, &workers[i]);
    }
    for (double end = now() + seconds; now() < end;) {
        memset(cells, 0, sizeof(cells));
        pthread_barrier_wait(&run.barrier);
        pthread_barrier_wait(&run.barrier);
        for (unsigned i = 0; i < CELLS; i++)
            histogram_add(h, outcome_of(&cells[i], test->threads));
    }
    run.stop = true;
    pthread_barrier_wait(&run.barrier);
    for (unsigned i = 0; i < test->threads; i++)
        pthread_join(threads[i], NULL);
    pthread_barrier_destroy(&run.barrier);
}

static unsigned number, failures;

static void tell(bool holds, const char *name)
{
    printf("%s %u - %s\n", holds ? "ok" : "not ok", ++number, name);
    fflush(stdout);
    failures += !holds;
}

static void judge(const struct test *test, double seconds)
{
    struct histogram h = {0};
    uint64_t hits = 0, all = 0;
    run_test(test, seconds, &h);
    for (unsigned i = 0; i < h.count; i++) {
        char text[128];
        bool hit = outcome_matches(test->outcome, h.outcomes[i].key, test->threads);
        outcome_print(text, sizeof(text), h.outcomes[i].key, test->threads);
        printf("# %9llu%s %s\n", (unsigned long long)h.outcomes[i].times, hit ? "*" : " ", text);
        all += h.outcomes[i].times;
        hits += hit ? h.outcomes[i].times : 0;
    }
    printf("# %s: %s, seen %llu of %llu\n", test->outcome,
           test->verdict == FORBIDDEN ? "forbidden" : "allowed", (unsigned long long)hits,
           (unsigned long long)all);
    tell(all && (test->verdict == ALLOWED || !hits), test->name);
}

/* ---- Sums and locks ---- */

enum { TIMES = 50000 };

static struct shared {
    _Alignas(LINE) uint64_t lrsc;
    _Alignas(LINE) uint32_t lrsc_word;
    _Alignas(LINE) uint64_t amo;
    _Alignas(LINE) uint32_t amo_words[2];
    _Alignas(LINE) uint8_t bytes[8];
    _Alignas(LINE) uint64_t maximum;
    _Alignas(LINE) uint64_t minimum;
    _Alignas(LINE) uint64_t bits;
    _Alignas(LINE) uint32_t lock;
    _Alignas(LINE) uint64_t guarded[2];
    _Alignas(LINE) uint8_t misaligned[4 * LINE];
} shared;

static void add_lrsc(uint64_t *p)
{
    uint64_t t, failed;
    __asm__ volatile("1: lr.d %0, (%2)\naddi %0, %0, 1\nsc.d %1, %0, (%2)\nbnez %1, 1b"
                     : "=&r"(t), "=&r"(failed)
                     : "r"(p)
                     : "memory");
}

static void add_lrsc_word(uint32_t *p)
{
    uint64_t t, failed;
    __asm__ volatile("1: lr.w.aq %0, (%2)\naddi %0, %0, 1\nsc.w.rl %1, %0, (%2)\nbnez %1, 1b"
                     : "=&r"(t), "=&r"(failed)
                     : "r"(p)
                     : "memory");
}

/* A lock of LR/SC alone: the longest loop for which the manual promises progress has 16 instructions. */
static void lock(uint32_t *p)
{
    uint64_t t, one = 1;
    __asm__ volatile("1: lr.w.aq %0, (%1)\nbnez %0, 1b\nsc.w.rl %0, %2, (%1)\nbnez %0, 1b"
                     : "=&r"(t)
                     : "r"(p), "r"(one)
                     : "memory");
}

static void unlock(uint32_t *p)
{
    __asm__ volatile("amoswap.w.rl zero, zero, (%0)" ::"r"(p) : "memory");
}

static void guarded_add(uint64_t i)
{
    lock(&shared.lock);
    shared.guarded[0] += i;
    shared.guarded[1] = shared.guarded[0];
    unlock(&shared.lock);
}

/* Another thread may hold the lock without a processor. */
static void *add_all(void *argument)
{
    uint64_t self = (uint64_t)argument;
    for (uint64_t i = 0; i < TIMES; i++) {
        add_lrsc(&shared.lrsc);
        add_lrsc_word(&shared.lrsc_word);
        __atomic_fetch_add(&shared.amo, i, __ATOMIC_RELAXED);
        __atomic_fetch_add(&shared.amo_words[self & 1], 1, __ATOMIC_RELAXED);
        __atomic_fetch_add(&shared.bytes[self], 1, __ATOMIC_RELAXED);
        uint64_t value = i * 4 + self, was;
        __asm__ volatile("amomaxu.d %0, %1, (%2)" : "=r"(was) : "r"(value), "r"(&shared.maximum) : "memory");
        __asm__ volatile("amomin.d %0, %1, (%2)" : "=r"(was) : "r"(-value), "r"(&shared.minimum) : "memory");
        __atomic_fetch_xor(&shared.bits, UINT64_C(1) << (self * 16 + i % 16), __ATOMIC_RELAXED);
        if (i % 8 == 0)
            guarded_add(i);
    }
    return NULL;
}

static void run_all(void *(*start)(void *))
{
    pthread_t threads[THREADS];
    for (uintptr_t i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, start, (void *)i);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
}

static void judge_sums(void)
{
    uint64_t sum = (uint64_t)TIMES * (TIMES - 1) / 2, guarded = 0;
    for (uint64_t i = 0; i < TIMES; i += 8)
        guarded += THREADS * i;
    run_all(add_all);
    tell(shared.lrsc == (uint64_t)THREADS * TIMES, "sum with lr.d and sc.d");
    tell(shared.lrsc_word == THREADS * TIMES, "sum with lr.w.aq and sc.w.rl");
    tell(shared.amo == THREADS * sum, "sum with amoadd.d");
    tell(shared.amo_words[0] == 2 * TIMES && shared.amo_words[1] == 2 * TIMES,
         "sums with amoadd.w in one double word");
    tell(shared.bytes[0] == (uint8_t)TIMES && shared.bytes[3] == (uint8_t)TIMES,
         "sums of bytes in one double word");
    tell(shared.maximum == (TIMES - 1) * 4 + 3, "maximum with amomaxu.d");
    tell(shared.minimum == -(uint64_t)((TIMES - 1) * 4 + 3), "minimum with amomin.d");
    tell(shared.bits == (TIMES / 16 % 2 ? ~UINT64_C(0) : 0), "bits with amoxor.d");
    tell(shared.guarded[0] == guarded && shared.guarded[1] == guarded, "sum under a lock of lr.w and sc.w");
}

/* Accesses across lines and pages are not atomic, but they are accesses. */
static void *access_misaligned(void *argument)
{
    uint64_t self = (uint64_t)argument, bad = 0;
    for (uint64_t i = 0; i < TIMES; i++) {
        volatile uint64_t *p = (volatile uint64_t *)(void *)(shared.misaligned + LINE - 8 + i % 8);
        *p = self * 0x0101010101010101;
        for (uint64_t value = *p; value; value >>= 8)
            bad |= (value & 0xff) >= THREADS;
    }
    return (void *)bad;
}

static void judge_misaligned(void)
{
    pthread_t threads[THREADS];
    void *bad = NULL, *all = NULL;
    for (uintptr_t i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, access_misaligned, (void *)i);
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(threads[i], &bad);
        all = bad ? bad : all;
    }
    tell(!all, "misaligned accesses make no bytes of their own");
}

int main(int argc, char **argv)
{
    double seconds = (argc > 1 ? atof(argv[1]) : 100) / 1000;
    enum { OTHERS = 10 };
    printf("1..%d\n", TESTS + OTHERS);
    for (unsigned i = 0; i < TESTS; i++)
        judge(&tests[i], seconds);
    judge_sums();
    judge_misaligned();
    return failures != 0;
}
