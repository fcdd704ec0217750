/* Code that is written through /proc/self/mem, for which no page is protected.
 * reference: self it writes riscv64 instructions and checks what they return
 * not under: address thread, guest addresses are not those of /proc/self/mem
 */
#include "test.h"
#include <sys/mman.h>

enum { PAGE = 4096, ROUNDS = 50, HOT = 60 };

static long call(const void *code)
{
    __asm__ volatile("fence.i" ::: "memory");
    return ((long (*)(void))(uintptr_t)code)();
}

static bool returns(const void *code, long wanted)
{
    bool right = true;
    for (int i = 0; i < HOT; i++)
        right &= call(code) == wanted;
    return right;
}

static void put(uint32_t *code, int value)
{
    code[0] = (uint32_t)value << 20 | 0x513; /* li a0, value */
    code[1] = 0x00008067;                    /* ret */
}

int main(void)
{
    const int rights = PROT_READ | PROT_WRITE | PROT_EXEC;
    uint32_t text[2], *code = mmap(NULL, 2 * PAGE, rights, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    bool right = true;
    put(code, 1);
    OK("hot before the file is opened", returns(code, 1));
    int fd = (int)MUST(open("/proc/self/mem", O_RDWR));
    for (int i = 0; i < ROUNDS; i++) {
        put(text, i);
        MUST(pwrite(fd, text, sizeof text, (off_t)code));
        right &= returns(code, i);
        put(code + PAGE / 4, i);
        right &= returns(code + PAGE / 4, i);
    }
    OK("written through the file, and as ever", right);
    return test_end();
}
