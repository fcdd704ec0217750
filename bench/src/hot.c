/* What loops cost that get hot: COUNT copies of one, each gone round ROUNDS times. Prints milliseconds of the
 * thread, of the process, and by the clock.
 *
 *   riscv64-linux-gnu-gcc -O2 -static -DBODY=12 bench/src/hot.c -o hot
 *   guise run --engine-options=threads:0 ./hot 1000 24000 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#ifndef BODY
#define BODY 2 /* times eight instructions */
#endif
#define TEXT(x)  TEXT_(x)
#define TEXT_(x) #x

__asm__(".text; .option push; .option norvc\n"
        "loop_start: li t1, 0; li t2, 1\n"
        "1: .rept " TEXT(BODY) "\n"
                               "add t1, t1, t2; addi t3, t1, 2; xor t4, t3, t1; slli t5, t4, 3\n"
                               "add t6, t5, t3; sub t3, t6, t4; and t4, t3, t5; or t5, t4, t6\n"
                               ".endr; addi a0, a0, -1; bnez a0, 1b\n"
                               "mv a0, t1; ret\n"
                               "loop_end: .option pop");
extern const char loop_start[], loop_end[];

typedef long loop_fn(long rounds);

static double milliseconds(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

int main(int argc, char **argv)
{
    size_t count = argc > 1 ? strtoul(argv[1], NULL, 0) : 1000, size = (size_t)(loop_end - loop_start);
    long rounds = argc > 2 ? strtol(argv[2], NULL, 0) : 24000, sum = 0;
    size_t stride = (size + 63) & ~(size_t)63, bytes = count * stride;
    char *loops = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (loops == MAP_FAILED)
        return 1;
    for (size_t i = 0; i < count; i++)
        memcpy(loops + i * stride, loop_start, size);
    if (mprotect(loops, bytes, PROT_READ | PROT_EXEC))
        return 1;
    __builtin___clear_cache(loops, loops + bytes);
    double thread = milliseconds(CLOCK_THREAD_CPUTIME_ID), process = milliseconds(CLOCK_PROCESS_CPUTIME_ID);
    double clock = milliseconds(CLOCK_MONOTONIC);
    for (size_t i = 0; i < count; i++)
        sum += ((loop_fn *)(void *)(loops + i * stride))(rounds);
    printf("thread %.1f process %.1f clock %.1f ms, sum %ld\n",
           milliseconds(CLOCK_THREAD_CPUTIME_ID) - thread, milliseconds(CLOCK_PROCESS_CPUTIME_ID) - process,
           milliseconds(CLOCK_MONOTONIC) - clock, sum);
    return sum != (long)count * rounds * BODY;
}
