/* Loops that were never run before, as many as a test wants: copies of one, in memory of the thread's own. */
#ifndef GUEST_HOT_H
#define GUEST_HOT_H

#include "test.h"
#include <sys/mman.h>

/*   a0: rounds; returns 3 * rounds */
__asm__(".pushsection .text; .option push; .option norvc\n"
        "loop_start: li t1, 0; li t2, 1\n"
        "1: add t1, t1, t2; addi t1, t1, 2; addi a0, a0, -1\n"
        "loop_branch: bnez a0, 1b\n"
        "mv a0, t1; ret\n"
        "loop_end: .option pop; .popsection");
extern const char loop_start[], loop_branch[], loop_end[];

typedef long loop_fn(long rounds);

enum { AREA = 1 << 20, STRIDE = 64, ROUNDS = 30000 };

static __thread char *area, *next;

/* A loop that was never run before, the thread's own. */
static loop_fn *new_loop(void)
{
    if (!area || next + STRIDE > area + AREA) {
        void *memory =
            mmap(NULL, AREA, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED)
            exit(98);
        area = next = memory;
    }
    loop_fn *loop = (loop_fn *)(void *)next;
    memcpy(next, loop_start, (size_t)(loop_end - loop_start));
    __builtin___clear_cache(next, next + STRIDE);
    next += STRIDE;
    return loop;
}

/* Runs new loops; says whether they were right. */
static bool heat(unsigned count)
{
    bool right = true;
    for (unsigned i = 0; i < count; i++)
        right &= new_loop()(ROUNDS) == 3 * ROUNDS;
    return right;
}

#endif
