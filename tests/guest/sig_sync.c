/* Synchronous signals: which one, why, where, and what a handler may do to the interrupted registers.
 * reference: self qemu-user 7.2 gives other si_code values for kernel addresses and misaligned atomics */
#include "test.h"
#include <setjmp.h>
#include <sys/mman.h>
#include <ucontext.h>

static volatile int got_signal, got_code;
static volatile unsigned long got_address, got_pc;
static volatile unsigned long resume_pc; /* where the handler continues; 0: after the 4-byte instruction */
static volatile int skip;

static void on_signal(int number, siginfo_t *info, void *context)
{
    ucontext_t *uc = context;
    got_signal = number;
    got_code = info->si_code;
    got_address = (unsigned long)info->si_addr;
    got_pc = uc->uc_mcontext.__gregs[REG_PC];
    uc->uc_mcontext.__gregs[REG_PC] = resume_pc ? resume_pc : got_pc + (unsigned long)skip;
    uc->uc_mcontext.__gregs[REG_A0] = 4242;
}

/* Each probe runs one instruction at a known label with a0 = address, a1 = 7 and returns a0. */
#define PROBE(name, instruction)                                                         \
    __asm__(".text\n.globl " #name "\n.globl " #name "_at\n.type " #name ", @function\n" \
            ".option push\n.option norvc\n" #name ":\n" #name "_at:\n " instruction      \
            "\n ret\n.option pop\n");                                                    \
    long name(unsigned long address, long value);                                        \
    extern char name##_at[]

PROBE(load8, "lb a0, 0(a0)");
PROBE(load64, "ld a0, 0(a0)");
PROBE(load_off, "lw a0, -2048(a0)");
PROBE(load_fp, "fld fa0, 8(a0)");
PROBE(store8, "sb a1, 0(a0)");
PROBE(store64, "sd a1, 2047(a0)");
PROBE(store_fp, "fsw fa0, 0(a0)");
PROBE(amo, "amoadd.w a2, a1, (a0)");
PROBE(load_reserved, "lr.d a2, (a0)");
PROBE(breakpoint, "ebreak");
PROBE(illegal_ones, ".word 0xffffffff");
PROBE(illegal_csr, "csrrw a2, 0xc00, a1");
PROBE(illegal_machine, "csrr a2, 0x300");
PROBE(illegal_mret, ".word 0x30200073");

static void expect(const char *what, int number, int code, unsigned long address, const char *pc)
{
    char fact[160];
    snprintf(fact, sizeof fact, "%s: signal", what);
    EQ(fact, got_signal, number);
    snprintf(fact, sizeof fact, "%s: si_code", what);
    EQ(fact, got_code, code);
    snprintf(fact, sizeof fact, "%s: si_addr", what);
    EQ(fact, got_address, address);
    snprintf(fact, sizeof fact, "%s: pc", what);
    EQ(fact, got_pc, (unsigned long)pc);
    got_signal = 0;
}

static void test_memory(void)
{
    char *none = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char *read_only = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char *closed = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(none + 4096, 4096);
    unsigned long gap = (unsigned long)none + 4096, ro = (unsigned long)read_only, no = (unsigned long)closed;
    munmap(none, 4096);
    skip = 4;
    EQ("handler sets a0", load8(0, 7), 4242);
    expect("load NULL", SIGSEGV, SEGV_MAPERR, 0, load8_at);
    load8(gap, 7);
    expect("load unmapped", SIGSEGV, SEGV_MAPERR, gap, load8_at);
    load64(gap + 8, 7);
    expect("load64 unmapped", SIGSEGV, SEGV_MAPERR, gap + 8, load64_at);
    load_off(gap + 2052, 7);
    expect("load with offset", SIGSEGV, SEGV_MAPERR, gap + 4, load_off_at);
    load_fp(gap, 7);
    expect("fld unmapped", SIGSEGV, SEGV_MAPERR, gap + 8, load_fp_at);
    load8(no + 5, 7);
    expect("load PROT_NONE", SIGSEGV, SEGV_ACCERR, no + 5, load8_at);
    store8(ro + 9, 7);
    expect("store read-only", SIGSEGV, SEGV_ACCERR, ro + 9, store8_at);
    store64(gap + 1, 7);
    expect("store64 unmapped", SIGSEGV, SEGV_MAPERR, gap + 2048, store64_at);
    store_fp(ro, 7);
    expect("fsw read-only", SIGSEGV, SEGV_ACCERR, ro, store_fp_at);
    amo(ro + 64, 7);
    expect("amo read-only", SIGSEGV, SEGV_ACCERR, ro + 64, amo_at);
    amo(gap, 7);
    expect("amo unmapped", SIGSEGV, SEGV_MAPERR, gap, amo_at);
    load_reserved(gap, 7);
    expect("lr unmapped", SIGSEGV, SEGV_MAPERR, gap, load_reserved_at);
    EQ("read-only page unharmed", read_only[9] | read_only[64], 0);
}

/* Addresses that no Sv39 process has: beyond the user half, in the gap, in the kernel's half. */
static void test_far_addresses(void)
{
    static const unsigned long far[] = {0x4000000000,       0x8000000000,       0x7fffffffffff,
                                        0x7fffffffffffffff, 0x8000000000000000, 0xffffffc000000000,
                                        0xffffffff80000000, 0xfffffffffffff000};
    skip = 4;
    for (unsigned i = 0; i < sizeof far / sizeof far[0]; i++) {
        load8(far[i], 7);
        char what[64];
        snprintf(what, sizeof what, "load %#lx", far[i]);
        expect(what, SIGSEGV, SEGV_MAPERR, far[i], load8_at);
        store8(far[i], 7);
        snprintf(what, sizeof what, "store %#lx", far[i]);
        expect(what, SIGSEGV, SEGV_MAPERR, far[i], store8_at);
    }
}

static void test_bus(void)
{
    enter_scratch();
    int fd = open("file", O_RDWR | O_CREAT, 0600);
    MUST(ftruncate(fd, 100));
    char *map = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    skip = 4;
    EQ("tail of the last page is zero", map[4000], 0);
    load8((unsigned long)map + 4096 + 3, 7);
    expect("load past the end of file", SIGBUS, BUS_ADRERR, (unsigned long)map + 4099, load8_at);
    store8((unsigned long)map + 4096 + 5, 7);
    expect("store past the end of file", SIGBUS, BUS_ADRERR, (unsigned long)map + 4101, store8_at);
    MUST(ftruncate(fd, 8192));
    EQ("after growing the file", load8((unsigned long)map + 4099, 7), 0);
    close(fd);
    leave_scratch();
    long word[2] = {0, 0};
    amo((unsigned long)word + 2, 7);
    expect("misaligned amo", SIGBUS, BUS_ADRALN, (unsigned long)word + 2, amo_at);
    load_reserved((unsigned long)word + 4, 7);
    expect("misaligned lr.d", SIGBUS, BUS_ADRALN, (unsigned long)word + 4, load_reserved_at);
}

static void test_illegal(void)
{
    skip = 4;
    breakpoint(0, 7);
    expect("ebreak", SIGTRAP, TRAP_BRKPT, (unsigned long)breakpoint_at, breakpoint_at);
    illegal_ones(0, 7);
    expect("all ones", SIGILL, ILL_ILLOPC, (unsigned long)illegal_ones_at, illegal_ones_at);
    illegal_csr(0, 7);
    expect("write to a read-only CSR", SIGILL, ILL_ILLOPC, (unsigned long)illegal_csr_at, illegal_csr_at);
    illegal_machine(0, 7);
    expect("machine CSR", SIGILL, ILL_ILLOPC, (unsigned long)illegal_machine_at, illegal_machine_at);
    illegal_mret(0, 7);
    expect("mret", SIGILL, ILL_ILLOPC, (unsigned long)illegal_mret_at, illegal_mret_at);
}

__asm__(
    ".text\n.globl zero_code\n.p2align 2\nzero_code: .half 0\n li a0, 9\n ret\n"
    ".globl short_break\nshort_break: .option push\n.option rvc\n c.ebreak\n li a0, 8\n ret\n.option pop\n");
long zero_code(void);
long short_break(void);

static void test_short(void)
{
    skip = 2;
    EQ("continues after the 2-byte illegal instruction", zero_code(), 9);
    expect("defined illegal 0x0000", SIGILL, ILL_ILLOPC, (unsigned long)zero_code, (char *)zero_code);
    EQ("continues after c.ebreak", short_break(), 8);
    expect("c.ebreak", SIGTRAP, TRAP_BRKPT, (unsigned long)short_break, (char *)short_break);
}

/* Jumps to places without code: the handler sees the target as pc and returns to the caller. */
__asm__(".text\n.globl jump_to\n.globl jumped\njump_to: addi sp, sp, -16\n sd ra, 8(sp)\n jalr a0\n"
        "jumped: ld ra, 8(sp)\n addi sp, sp, 16\n ret\n");
long jump_to(unsigned long target);
extern char jumped[];

static void test_jumps(void)
{
    unsigned *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    page[0] = 0x00008067; /* ret */
    resume_pc = (unsigned long)jumped;
    EQ("comes back from a jump to data", jump_to((unsigned long)page), 4242);
    expect("jump to a page without PROT_EXEC", SIGSEGV, SEGV_ACCERR, (unsigned long)page, (char *)page);
    jump_to(0);
    expect("jump to NULL", SIGSEGV, SEGV_MAPERR, 0, NULL);
    munmap(page, 4096);
    jump_to((unsigned long)page);
    expect("jump to an unmapped page", SIGSEGV, SEGV_MAPERR, (unsigned long)page, (char *)page);
    jump_to(0xffffffff80000000);
    expect("jump to the kernel half", SIGSEGV, SEGV_MAPERR, 0xffffffff80000000, (char *)0xffffffff80000000);
    jump_to(0x4000000000);
    expect("jump beyond the user half", SIGSEGV, SEGV_MAPERR, 0x4000000000, (char *)0x4000000000);

    /* A 4-byte instruction whose second half lies on a page that is not there. */
    unsigned short *two =
        mmap(NULL, 8192, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    two[2047] = 0x0513; /* the low half of "li a0, 5" */
    __builtin___clear_cache((char *)two, (char *)two + 4096);
    munmap((char *)two + 4096, 4096);
    jump_to((unsigned long)two + 4094);
    EQ("instruction across a page end: signal", got_signal, SIGSEGV);
    EQ("instruction across a page end: si_code", got_code, SEGV_MAPERR);
    EQ("instruction across a page end: si_addr", got_address, (unsigned long)two + 4096);
    EQ("instruction across a page end: pc", got_pc, (unsigned long)two + 4094);
    resume_pc = 0;
}

static volatile int raised, raised_code, raised_pid;

static void on_raise(int number, siginfo_t *info, void *context)
{
    (void)context;
    raised = number;
    raised_code = info->si_code;
    raised_pid = info->si_pid;
}

static void test_raised(void)
{
    static const int numbers[] = {SIGFPE, SIGSEGV, SIGILL, SIGBUS, SIGTRAP, SIGABRT, SIGSYS};
    for (unsigned i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        char what[64];
        handle(numbers[i], on_raise, 0);
        raise(numbers[i]);
        snprintf(what, sizeof what, "raise(%d)", numbers[i]);
        EQ(what, raised, numbers[i]);
        EQ("raised by tkill", raised_code, SI_TKILL);
        kill(getpid(), numbers[i]);
        EQ("sent by kill", raised_code, SI_USER);
        EQ("sender", raised_pid, getpid());
        signal(numbers[i], SIG_DFL);
    }
}

static void die_load(void)
{
    load8(0, 0);
}
static void die_illegal(void)
{
    illegal_ones(0, 0);
}
static void die_break(void)
{
    breakpoint(0, 0);
}
static void die_ignored(void)
{
    signal(SIGSEGV, SIG_IGN);
    load8(0, 0);
}
static void die_blocked(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGILL);
    sigprocmask(SIG_BLOCK, &set, NULL);
    handle(SIGILL, on_signal, 0);
    illegal_ones(0, 0);
}
static void die_twice(void)
{
    load8(8, 0);
}
static void die_twice_handler(int number, siginfo_t *info, void *context)
{
    (void)number, (void)info, (void)context;
    die_twice();
}
static void die_in_handler(void)
{
    handle(SIGSEGV, die_twice_handler, 0);
    load8(0, 0);
}

static void test_deaths(void)
{
    static const int numbers[] = {SIGSEGV, SIGBUS, SIGILL, SIGTRAP};
    for (unsigned i = 0; i < 4; i++)
        signal(numbers[i], SIG_DFL);
    EQ("no handler, load", in_child(die_load) & 0x7f, SIGSEGV);
    EQ("no handler, illegal", in_child(die_illegal) & 0x7f, SIGILL);
    EQ("no handler, ebreak", in_child(die_break) & 0x7f, SIGTRAP);
    EQ("ignored SIGSEGV kills", in_child(die_ignored) & 0x7f, SIGSEGV);
    EQ("blocked SIGILL kills", in_child(die_blocked) & 0x7f, SIGILL);
    EQ("a fault in the handler kills", in_child(die_in_handler) & 0x7f, SIGSEGV);
    EQ("abort()", in_child(abort) & 0x7f, SIGABRT);
}

int main(void)
{
    static const int numbers[] = {SIGSEGV, SIGBUS, SIGILL, SIGTRAP};
    for (unsigned i = 0; i < 4; i++)
        handle(numbers[i], on_signal, 0);
    test_memory();
    test_far_addresses();
    test_bus();
    test_illegal();
    test_short();
    test_jumps();
    test_deaths();
    test_raised();
    return test_end();
}
