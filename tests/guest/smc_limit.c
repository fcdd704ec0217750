/* Hot code is written when the kernel has no mapping left.
 * reference: self it writes riscv64 instructions and checks what they return
 * not under: address thread, whose run times end the process when memory mappings run out
 */
#include "test.h"
#include <sys/mman.h>

enum { PAGE = 4096, WORDS = PAGE / 4, COUNT = 64, MANY = 200000, HOT = 60 };

static bool returns(const uint32_t *code, long wanted)
{
    bool right = true;
    __asm__ volatile("" ::: "memory");
    for (int i = 0; i < HOT; i++)
        right &= ((long (*)(void))(uintptr_t)code)() == wanted;
    return right;
}

static void put(volatile uint32_t *code, int value)
{
    code[0] = (uint32_t)value << 20 | 0x513; /* li a0, value */
    code[1] = 0x00008067;                    /* ret */
}

/* Returns how many mappings could be made. */
static int exhaust(void)
{
    char *at = mmap(NULL, (size_t)MANY * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    int made = 0;
    for (int i = 1; at != MAP_FAILED && i < MANY && !mprotect(at + (size_t)i * PAGE, PAGE, PROT_READ); i += 2)
        made += 2;
    return made;
}

int main(void)
{
    const int rights = PROT_READ | PROT_WRITE | PROT_EXEC;
    uint32_t *code = mmap(NULL, COUNT * PAGE, rights, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    bool right = true;
    for (int i = 0; i < COUNT; i++) {
        put(code + i * WORDS, i);
        right &= returns(code + i * WORDS, i);
    }
    OK("64 pages of hot code", right);
    OK("mappings run out", exhaust() < MANY - 2);
    for (int i = COUNT / 2; i < COUNT; i += 3) {
        put(code + i * WORDS, i + 100);
        right &= returns(code + i * WORDS, i + 100);
    }
    OK("every third is written", right);
    __asm__ volatile("fence.i" ::: "memory");
    for (int i = 0; i < COUNT; i++)
        right &= returns(code + i * WORDS, i >= COUNT / 2 && (i - COUNT / 2) % 3 == 0 ? i + 100 : i);
    OK("and the others are what they were", right);
    return test_end();
}
