/* Calls each loop that `loops` (the script beside this) has made, and prints a hash of what it leaves, or of what it had where it
 * faulted, at the end of its memory. With an argument, signals arrive all the time. */
#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <ucontext.h>

enum { INTEGERS = 22, FLOATS = 32, WORDS = 64, PAGE = 4096 };

struct registers {
    uint64_t x[INTEGERS], f[FLOATS], fcsr, rounds_left;
    uint64_t pc; /* of a fault */
};

extern void *const loops[];
void run(const void *loop, struct registers *registers, uint64_t *memory, long rounds);

static uint64_t state = 88172645463325252u;

/* xorshift64 */
static uint64_t next(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    return state ^= state << 17;
}

/* Often small, so that branches go either way. */
static uint64_t integer(void)
{
    uint64_t any = next();
    switch (any & 7) {
    case 0: return any;
    case 1:
    case 2: return any >> 8 & 0xff;
    default: return (uint64_t)(int64_t)(int32_t)(any >> 20);
    }
}

/* Doubles, singles in boxes, and what is neither. */
static uint64_t floating(void)
{
    static const uint64_t telling[] = {
        0,
        0x8000000000000000,
        1,
        0x3ff0000000000000,
        0x3ff8000000000000,
        0x40091eb851eb851f,
        0x7ff0000000000000,
        0x7ff8000000000000,
        0xfff8000000000123,
        0x7ff0000000000001,
        0xffffffff00000000,
        0xffffffff3f800000,
        0xffffffffc0490fdb,
        0xffffffff7f800001,
        0xffffffff7fc00000,
        0xffffffff7fc00123,
        0x000000003f800000,
    };
    uint64_t any = next();
    if (any & 3)
        return telling[(any >> 4) % (sizeof telling / sizeof telling[0])];
    return any & 4 ? 0xffffffff3f000000 + (any >> 8 & 0xffffff) : 0x3ff0000000000000 + (any >> 12);
}

static uint64_t hash(uint64_t sum, const void *words, size_t size)
{
    for (size_t i = 0; i < size / sizeof(uint64_t); i++) {
        uint64_t word;
        memcpy(&word, (const char *)words + i * sizeof word, sizeof word);
        sum = (sum ^ word) * 0x100000001b3;
    }
    return sum;
}

static sigjmp_buf out;
static struct registers *faulted;

static void on_fault(int number, siginfo_t *info, void *context)
{
    static const unsigned char order[INTEGERS] = {5,  6,  7,  28, 29, 30, 31, 11, 12, 13, 14,
                                                  15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25};
    const mcontext_t *machine = &((const ucontext_t *)context)->uc_mcontext;
    (void)number, (void)info;
    for (unsigned i = 0; i < INTEGERS; i++)
        faulted->x[i] = machine->__gregs[order[i]];
    memcpy(faulted->f, machine->__fpregs.__d.__f, sizeof faulted->f);
    faulted->fcsr = machine->__fpregs.__d.__fcsr;
    faulted->rounds_left = machine->__gregs[27];
    faulted->pc = machine->__gregs[0];
    siglongjmp(out, 1);
}

static void on_alarm(int number)
{
    (void)number;
}

static void prepare(bool storm)
{
    sigaction(SIGSEGV, &(struct sigaction){.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO}, NULL);
    signal(SIGALRM, on_alarm);
    if (storm)
        setitimer(ITIMER_REAL, &(struct itimerval){{0, 300}, {0, 300}}, NULL);
}

/* Two pages, of which the second cannot be accessed. */
static uint64_t *map_memory(void)
{
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE;
    char *memory = mmap((void *)0x20000000, 2 * PAGE, PROT_READ | PROT_WRITE, flags, -1, 0);
    if (memory == MAP_FAILED || mprotect(memory + PAGE, PAGE, PROT_NONE))
        return NULL;
    return (uint64_t *)(memory + PAGE);
}

/* `missing`: words of its memory that are not there. */
static void try_loop(unsigned number, long rounds, uint64_t *end, unsigned missing)
{
    struct registers registers = {0};
    uint64_t *memory = end - WORDS + missing;
    for (unsigned k = 0; k < INTEGERS; k++)
        registers.x[k] = integer();
    for (unsigned k = 0; k < FLOATS; k++)
        registers.f[k] = floating();
    for (unsigned k = 0; k < WORDS - missing; k++)
        memory[k] = missing || (rounds % 2 && k % 2) ? integer() : floating();
    faulted = &registers;
    if (sigsetjmp(out, 1) == 0)
        run(loops[number], &registers, memory, rounds);
    __asm__ volatile("fscsr zero");
    uint64_t sum = hash(hash(0, &registers, sizeof registers), memory, (WORDS - missing) * sizeof *memory);
    printf("loop %u, %ld rounds: %016" PRIx64 ", %" PRIu64 " left%s\n", number, rounds, sum,
           registers.rounds_left, registers.pc ? ", a fault" : "");
}

int main(int argc, char **argv)
{
    static const long rounds[] = {3, 11, 40, 97};
    uint64_t *end = map_memory();
    (void)argv;
    prepare(argc > 1);
    for (unsigned number = 0; end && loops[number]; number++) {
        for (unsigned i = 0; i < sizeof rounds / sizeof rounds[0]; i++)
            try_loop(number, rounds[i], end, 0);
        try_loop(number, 90, end, 1 + number % 24);
        try_loop(number, 90, end, 0);
    }
    return !end;
}
