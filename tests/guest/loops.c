/* Loops that go round often: what they carry in registers, on every way out of them.
 */
#include "test.h"
#include <inttypes.h>
#include <setjmp.h>
#include <sys/mman.h>
#include <ucontext.h>

enum { ROUNDS = 20000, SHORT = 20 };

static const uint64_t doubles[] = {
    0,
    0x8000000000000000, /* -0 */
    0x3ff8000000000000, /* 1.5 */
    0x7ff0000000000000, /* infinity */
    0xfff0000000000000,
    0x7ff8000000000000, /* the canonical NaN */
    0xfff8000000000000, /* others, quiet and signaling */
    0x7ff8000000000123,
    0x7ff0000000000001,
};
static const uint64_t singles[] = {
    0xffffffff00000000, 0xffffffff3fc00000, 0xffffffff7f800000, 0xffffffff7fc00000,
    0xffffffffffc00001, 0xffffffff7f800001, 0x000000003fc00000, /* not boxed: NaNs to single precision */
    0x3ff8000000000000, 0xfffffffe7fc00000,
};
enum { VALUES = sizeof doubles / sizeof doubles[0] };

static uint64_t mix(uint64_t sum, uint64_t value)
{
    return (sum ^ value) * 0x100000001b3;
}

/* Carries sums and a product; leaves in round `out` before or behind the arithmetic, or at the end; writes the registers' bits to
 * `seen`. The flags are in the last word. */
#define CARRY(name, load, store, P)                                                                           \
    static void name(uint64_t a, uint64_t b, long rounds, long out, uint64_t *seen)                           \
    {                                                                                                         \
        uint64_t cell[2] = {b, 0};                                                                            \
        __asm__ volatile(                                                                                     \
            "fmv.d.x fa0, %[a]; fmv.d.x fa1, %[a]; fmv.d.x fs4, %[a]; fmv.d.x fa2, %[b]; fmv.d.x ft5, %[b]\n" \
            "mv t3, %[rounds]; mv t4, %[out]; mv s10, %[cell]; fsflags zero\n"                                \
            "1: beq t3, t4, 2f\n" load " fa3, 0(s10)\n"                                                       \
            "fadd." P " fa0, fa0, fa2; fsub." P " fa1, fa1, fa0; fmul." P " fs4, fs4, fa3\n" store            \
            " fs4, 8(s10); fmv." P " fa4, fa1; fmax." P " fa5, fa0, fs4\n"                                    \
            "addi t5, t3, -3; beq t5, t4, 2f\n"                                                               \
            "addi t3, t3, -1; bnez t3, 1b\n"                                                                  \
            "2: fsd fa0, 0(%[seen]); fsd fa1, 8(%[seen]); fsd fs4, 16(%[seen]); fsd fa4, 24(%[seen])\n"       \
            "fsd fa5, 32(%[seen]); fsd ft5, 40(%[seen]); sd t3, 48(%[seen]); frflags t5; sd t5, 56(%[seen])"  \
            :                                                                                                 \
            :                                                                                                 \
            [a] "r"(a), [b] "r"(b), [rounds] "r"(rounds), [out] "r"(out), [cell] "r"(cell), [seen] "r"(seen)  \
            : "t3", "t4", "t5", "s10", "fa0", "fa1", "fa2", "fa3", "fa4", "fa5", "fs4", "ft5", "memory");     \
        seen[8] = cell[1];                                                                                    \
    }
/* clang-format off */
CARRY(carry_double, "fld", "fsd", "d")
CARRY(carry_single, "flw", "fsw", "s")
/* clang-format on */

static void carried(void)
{
    for (int single = 0; single < 2; single++)
        for (int i = 0; i < VALUES; i++) {
            uint64_t sum = 0;
            for (int k = 0; k < VALUES; k++) {
                const uint64_t *values = single ? singles : doubles;
                const long ways[][2] = {{ROUNDS, -1}, {SHORT, -1},    {ROUNDS, ROUNDS}, {SHORT, 7},
                                        {SHORT, 16},  {SHORT, SHORT}, {ROUNDS, 100}};
                for (unsigned way = 0; way < sizeof ways / sizeof ways[0]; way++) {
                    uint64_t seen[9] = {0};
                    (single ? carry_single : carry_double)(values[i], values[k], ways[way][0], ways[way][1],
                                                           seen);
                    for (int s = 0; s < 9; s++)
                        sum = mix(sum, seen[s]);
                }
            }
            say("%s from %016" PRIx64 ": %016" PRIx64, single ? "singles" : "doubles",
                (single ? singles : doubles)[i], sum);
        }
}

/* The loop's last result is new when it ends. */
static void tight(void)
{
    for (unsigned i = 0; i < VALUES; i++)
        for (long rounds = 1; rounds < ROUNDS; rounds += 1999) {
            uint64_t d, s, t;
            long n = rounds;
            __asm__ volatile(
                "fmv.d.x fa0, %[v]; fmv.d.x fa1, %[v]; li t3, 3; fcvt.d.l fa2, t3\n"
                "1: addi %[n], %[n], -1; fadd.d fa0, fa0, fa2; fmul.d fa1, fa0, fa2; bnez %[n], 1b\n"
                "fsub.d fa1, fa1, fa0; fmv.x.d %[d], fa1"
                : [n] "+r"(n), [d] "=r"(d)
                : [v] "r"(doubles[i])
                : "t3", "fa0", "fa1", "fa2");
            n = rounds;
            __asm__ volatile("fmv.d.x fa0, %[v]; fmv.d.x fa1, %[v]; li t3, 3; fcvt.s.l fa2, t3\n"
                             "1: addi %[n], %[n], -1; fadd.s fa0, fa0, fa2; fmul.s fa1, fa0, fa2\n"
                             "fneg.s fa3, fa1; bnez %[n], 1b\n"
                             "fmv.x.d %[s], fa1; fmv.x.d %[t], fa3"
                             : [n] "+r"(n), [s] "=&r"(s), [t] "=&r"(t)
                             : [v] "r"(singles[i])
                             : "t3", "fa0", "fa1", "fa2", "fa3");
            say("%ld rounds from %u: %016" PRIx64 " %016" PRIx64 " %016" PRIx64, rounds, i, d, s, t);
        }
}

/* Comparisons that raise no flag, as compilers write them, with the flags as they were before; of values that the instruction
 * `make` leaves. */
#define QUIET(name, make, instruction)                                                                    \
    static uint64_t name(uint64_t a, uint64_t b, uint64_t flags)                                          \
    {                                                                                                     \
        uint64_t result, read, after;                                                                     \
        __asm__ volatile("fmv.d.x fa0, %3; fmv.d.x fa1, %4; " make "; fsflags %5\n"                       \
                         "frflags %1; " instruction " %0, fa0, fa1; fsflags %1; frflags %2; fsflags zero" \
                         : "=&r"(result), "=&r"(read), "=&r"(after)                                       \
                         : "r"(a), "r"(b), "r"(flags)                                                     \
                         : "fa0", "fa1");                                                                 \
        return result | read << 8 | after << 16;                                                          \
    }
QUIET(less_double, "nop", "flt.d")
QUIET(most_double, "nop", "fle.d")
QUIET(less_single, "nop", "flt.s")
QUIET(most_single, "nop", "fle.s")
/* Singles as doubles, which are NaNs, and the other way round. */
QUIET(less_narrowed, "fcvt.s.d fa1, fa1", "flt.d")
QUIET(most_added, "fadd.s fa0, fa0, fa1", "fle.d")
QUIET(less_boxed, "fmv.w.x fa1, %4", "flt.d")
QUIET(most_widened, "fcvt.d.s fa0, fa0", "fle.s")

static void quiet(void)
{
    static const struct {
        uint64_t (*function)(uint64_t, uint64_t, uint64_t);
        const uint64_t *values;
    } rows[] = {
        {less_double, doubles},   {most_double, doubles}, {less_single, singles}, {most_single, singles},
        {less_narrowed, doubles}, {most_added, singles},  {less_boxed, doubles},  {most_widened, singles},
    };
    for (unsigned r = 0; r < sizeof rows / sizeof rows[0]; r++) {
        uint64_t sum = 0;
        for (int round = 0; round < 100; round++)
            for (int i = 0; i < VALUES; i++)
                for (int k = 0; k < VALUES; k++)
                    sum = mix(sum, rows[r].function(rows[r].values[i], rows[r].values[k],
                                                    round % 2 ? 31 : (uint64_t)round & 31));
        say("quiet comparison %u: %016" PRIx64, r, sum);
    }
}

static sigjmp_buf back;
static uint64_t found[10];

/* The registers of the faulting round. */
static void on_fault(int number, siginfo_t *info, void *context)
{
    const ucontext_t *uc = context;
    const __riscv_mc_gp_state *x = &uc->uc_mcontext.__gregs;
    const uint64_t *f = (const uint64_t *)(const void *)uc->uc_mcontext.__fpregs.__d.__f;
    (void)number, (void)info;
    const uint64_t values[] = {(*x)[18], (*x)[19], (*x)[27], (*x)[28], (*x)[29],
                               (*x)[30], f[10],    f[11],    f[20],    f[13]};
    memcpy(found, values, sizeof found);
    siglongjmp(back, 1);
}

/* Walks off the end of its page with everything that it carries in registers. */
static void faults(void)
{
    const size_t page = 4096;
    char *memory = mmap(NULL, 17 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(memory + 16 * page, page);
    sigaction(SIGSEGV, &(struct sigaction){.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO}, NULL);
    for (unsigned i = 0; i < VALUES; i++)
        for (unsigned far = 1; far <= 16; far += 5) {
            char *start = memory + (16 - far) * page;
            if (sigsetjmp(back, 1) == 0)
                __asm__ volatile("fmv.d.x fa0, %0; fmv.d.x fa1, %0; fmv.d.x fs4, %0\n"
                                 "li s2, 1; li s3, 2; mv s11, %1; li t3, 4; li t4, 5; li t5, 6\n"
                                 "1: ld t6, 0(s11); fld fa3, 0(s11)\n"
                                 "add s2, s2, s3; xor s3, s3, s2; slli t3, s3, 3; add t3, t3, t6\n"
                                 "fadd.d fa0, fa0, fa1; fmul.d fs4, fa0, fa3; fmv.d fa3, fs4\n"
                                 "sub t4, t4, t3; addi t5, t5, 1; addi s11, s11, 8; fadd.d fa1, fa1, fs4\n"
                                 "j 1b"
                                 :
                                 : "r"(doubles[i]), "r"(start)
                                 : "s2", "s3", "s11", "t3", "t4", "t5", "t6", "fa0", "fa1", "fa3", "fs4",
                                   "memory");
            uint64_t sum = 0;
            found[2] -= (uint64_t)memory;
            for (int k = 0; k < 10; k++)
                sum = mix(sum, found[k]);
            say("fault %u pages on from %016" PRIx64 ": %016" PRIx64, far, doubles[i], sum);
        }
}

/* Paths through one loop: steady ones that change from call to call, and one that changes from round to round. */
__attribute__((noinline)) static uint64_t paths(unsigned which, unsigned rounds, const uint32_t *table)
{
    uint64_t sum = which;
    for (unsigned i = 0; i < rounds; i++) {
        if (which == 0)
            sum += table[i % 64];
        else if (which == 1)
            sum ^= (uint64_t)table[i % 61] << (i & 31);
        else if (which == 2 ? i & 1 : table[i % 64] & 1)
            sum = sum * 3 + i;
        else
            sum = (sum >> 1) + table[(sum + i) % 64];
        if (sum == 0x123456789)
            return i;
    }
    return sum;
}

/* More loop state than there are host registers, inner loops of all lengths. */
__attribute__((noinline)) static uint64_t nested(unsigned outer, unsigned inner, const uint32_t *table)
{
    uint64_t a = 1, b = 2, c = 3, d = 4, e = 5, f = 6, g = 7, h = 8, i = 9, k = 10;
    for (unsigned o = 0; o < outer; o++) {
        for (unsigned n = 0; n < inner + o % 3; n++) {
            a += b ^ table[n % 64];
            b += c << 1;
            c ^= d + a;
            d += e >> 3;
            e ^= f * 5;
            f += g ^ o;
            g -= h;
            h ^= i + n;
            i += k ^ a;
            k = k * 3 + b;
        }
        a ^= k;
    }
    return a ^ b ^ c ^ d ^ e ^ f ^ g ^ h ^ i ^ k;
}

int main(void)
{
    uint32_t table[64];
    for (unsigned i = 0; i < 64; i++)
        table[i] = i * 2654435761u >> 3;
    carried();
    tight();
    quiet();
    faults();
    for (unsigned round = 0; round < 6; round++)
        for (unsigned which = 0; which < 4; which++)
            say("path %u: %016" PRIx64, which, paths(which, 20000, table));
    for (unsigned inner = 1; inner < 60; inner += 7)
        say("%u inner rounds: %016" PRIx64, inner, nested(3000, inner, table));
    return test_end();
}
