/* Misaligned loads and stores: right values everywhere, and right faults at the end of a page.
 * reference: self qemu-user 7.2 reports other fault addresses where an access crosses into a missing page
 */
#include "test.h"
#include <setjmp.h>
#include <sys/mman.h>

static sigjmp_buf back;
static volatile unsigned long fault_address;
static volatile int fault_code;

static void on_fault(int number, siginfo_t *info, void *context)
{
    (void)number, (void)context;
    fault_address = (unsigned long)info->si_addr;
    fault_code = info->si_code;
    siglongjmp(back, 1);
}

/* The instructions themselves, so that no compiler splits them. */
#define LOAD(op, p)                                                       \
    ({                                                                    \
        long v_;                                                          \
        __asm__ volatile(op " %0, 0(%1)" : "=r"(v_) : "r"(p) : "memory"); \
        v_;                                                               \
    })
#define STORE(op, p, v) __asm__ volatile(op " %0, 0(%1)" ::"r"((long)(v)), "r"(p) : "memory")

static double load_double(const void *p)
{
    double d;
    __asm__ volatile("fld %0, 0(%1)" : "=f"(d) : "r"(p) : "memory");
    return d;
}
static float load_float(const void *p)
{
    float f;
    __asm__ volatile("flw %0, 0(%1)" : "=f"(f) : "r"(p) : "memory");
    return f;
}

static long expected(const unsigned char *p, int size, bool sign)
{
    unsigned long v = 0;
    for (int i = 0; i < size; i++)
        v |= (unsigned long)p[i] << (8 * i);
    if (sign && size < 8 && v >> (8 * size - 1))
        v |= ~0UL << (8 * size);
    return (long)v;
}

static void test_values(unsigned char *base, int span)
{
    bool loads = true, stores = true, floats = true;
    for (int i = 0; i < span; i++)
        base[i] = (unsigned char)(i * 37 + 129);
    for (int i = 0; i + 8 <= span; i++) {
        unsigned char *p = base + i;
        loads &= LOAD("lh", p) == expected(p, 2, true) && LOAD("lhu", p) == expected(p, 2, false) &&
                 LOAD("lw", p) == expected(p, 4, true) && LOAD("lwu", p) == expected(p, 4, false) &&
                 LOAD("ld", p) == expected(p, 8, true);
        double d = load_double(p);
        float f = load_float(p);
        floats &= memcmp(&d, p, 8) == 0 && memcmp(&f, p, 4) == 0;
    }
    for (int i = 0; i + 8 <= span; i++) {
        unsigned char *p = base + i;
        unsigned char before = i ? p[-1] : 0, after = i + 8 < span ? p[8] : 0;
        STORE("sd", p, 0x1122334455667788);
        stores &= expected(p, 8, true) == 0x1122334455667788;
        STORE("sw", p + 1, 0xaabbccdd);
        STORE("sh", p + 3, 0x9988);
        stores &= expected(p, 8, true) == 0x1122339988ccdd88;
        stores &= (!i || p[-1] == before) && (i + 8 >= span || p[8] == after);
    }
    OK("loads", loads);
    OK("floating-point loads", floats);
    OK("stores", stores);
}

#define FAULTS(expression)             \
    ({                                 \
        volatile int faulted_ = 0;     \
        if (sigsetjmp(back, 1) == 0) { \
            expression;                \
        } else                         \
            faulted_ = 1;              \
        faulted_;                      \
    })

static void test_page_end(void)
{
    unsigned char *p = mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    unsigned char *end = p + 8192;
    test_values(p + 4096 - 16, 32); /* across two pages that are there */
    munmap(end, 4096);
    memset(p, 0x5a, 8192);
    for (int i = 1; i < 8; i++) {
        char fact[64];
        snprintf(fact, sizeof fact, "ld %d bytes before the end", i);
        bool faulted = FAULTS(LOAD("ld", end - i));
        OK(fact, faulted && fault_code == SEGV_MAPERR &&
                     (fault_address == (unsigned long)end ||
                      fault_address == (unsigned long)end - (unsigned long)i));
        snprintf(fact, sizeof fact, "sd %d bytes before the end", i);
        faulted = FAULTS(STORE("sd", end - i, -1));
        OK(fact, faulted && fault_code == SEGV_MAPERR &&
                     (fault_address == (unsigned long)end ||
                      fault_address == (unsigned long)end - (unsigned long)i));
    }
    OK("lw 4 bytes before the end", !FAULTS(LOAD("lw", end - 4)));
    OK("lw 3 bytes before the end", FAULTS(LOAD("lw", end - 3)));
    OK("lh 1 byte before the end", FAULTS(LOAD("lh", end - 1)));
    OK("fld 4 bytes before the end", FAULTS(load_double(end - 4)));
    memset(p, 0, 8192);
    mprotect(p + 4096, 4096, PROT_READ);
    OK("sd into a read-only page", FAULTS(STORE("sd", p + 4093, -1)) && fault_code == SEGV_ACCERR);
    OK("ld out of it", !FAULTS(LOAD("ld", p + 4093)));
    munmap(p, 8192);
    OK("ld before the first page", FAULTS(LOAD("ld", p - 3 + 4096)));
}

int main(void)
{
    static unsigned char buffer[64] __attribute__((aligned(64)));
    handle(SIGSEGV, on_fault, 0);
    handle(SIGBUS, on_fault, 0);
    test_values(buffer, 64);
    test_page_end();
    return test_end();
}
