/* Calls and returns, recursion, indirect calls and jumps. */
#include "kernel.h"

#include <setjmp.h>
#include <stdlib.h>

#define OUT_OF_LINE __attribute__((noinline, noclone))

OUT_OF_LINE static unsigned fib(unsigned n)
{
    return n < 2 ? n : fib(n - 1) + fib(n - 2);
}

static uint64_t fibonacci(unsigned scale)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < scale; i++)
        sum += fib(20 + i % 3);
    return sum;
}

OUT_OF_LINE static unsigned ackermann(unsigned m, unsigned n)
{
    if (!m)
        return n + 1;
    return ackermann(m - 1, n ? ackermann(m, n - 1) : 1);
}

static uint64_t deep_recursion(unsigned scale)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < scale; i++)
        sum += ackermann(2, 120 + i % 7);
    return sum;
}

/* ---- Objects with virtual functions ---- */

struct shape {
    unsigned (*area)(const struct shape *);
    unsigned a, b;
};

OUT_OF_LINE static unsigned square(const struct shape *s)
{
    return s->a * s->a;
}

OUT_OF_LINE static unsigned rectangle(const struct shape *s)
{
    return s->a * s->b;
}

OUT_OF_LINE static unsigned triangle(const struct shape *s)
{
    return s->a * s->b / 2;
}

OUT_OF_LINE static unsigned nothing(const struct shape *s)
{
    return s->b;
}

static uint64_t virtual_calls(unsigned scale)
{
    static unsigned (*const areas[])(const struct shape *) = {square, rectangle, triangle, nothing};
    static struct shape shapes[256];
    uint32_t state = 31;
    uint64_t sum = 0;
    for (unsigned i = 0; i < 256; i++)
        shapes[i] = (struct shape){areas[next_random(&state) & 3], i, i + 1};
    for (unsigned round = 0; round < scale; round++)
        for (unsigned i = 0; i < 256; i++)
            sum += shapes[i].area(&shapes[i]);
    return sum;
}

static int compare(const void *left, const void *right)
{
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
    return (a > b) - (a < b);
}

static uint64_t callbacks(unsigned scale)
{
    enum { COUNT = 4000 };
    static uint32_t a[COUNT];
    uint64_t hash = 0;
    for (unsigned round = 0; round < scale; round++) {
        uint32_t state = round + 3;
        for (unsigned i = 0; i < COUNT; i++)
            a[i] = next_random(&state);
        qsort(a, COUNT, sizeof(*a), compare);
        hash = mix(hash, a[COUNT / 2]);
    }
    return hash;
}

/* ---- An interpreter: a switch in a loop ---- */

enum { PUSH, ADD, SUB, MUL, DUP, SWAP, OVER, DROP, LOOP, XOR, SHR, AND, END };

static uint64_t interpret(const uint8_t *code, uint32_t count)
{
    uint32_t stack[16] = {1, 2}, *top = stack + 1;
    for (const uint8_t *pc = code;;) {
        switch (*pc++) {
        case PUSH: *++top = *pc++; break;
        case ADD:
            top[-1] += top[0];
            top--;
            break;
        case SUB:
            top[-1] -= top[0];
            top--;
            break;
        case MUL:
            top[-1] *= top[0];
            top--;
            break;
        case DUP:
            top[1] = top[0];
            top++;
            break;
        case OVER:
            top[1] = top[-1];
            top++;
            break;
        case DROP: top--; break;
        case XOR:
            top[-1] ^= top[0];
            top--;
            break;
        case SHR:
            top[-1] >>= top[0] & 31;
            top--;
            break;
        case AND:
            top[-1] &= top[0];
            top--;
            break;
        case LOOP:
            if (--count)
                pc = code;
            break;
        case SWAP: {
            uint32_t t = top[0];
            top[0] = top[-1];
            top[-1] = t;
            break;
        }
        default: return mix(top[0], top[-1]);
        }
    }
}

static uint64_t interpreter(unsigned scale)
{
    static const uint8_t code[] = {DUP, PUSH, 7,    MUL, OVER, ADD,  PUSH, 13,   ADD,  SWAP, PUSH,
                                   3,   SHR,  OVER, XOR, DUP,  PUSH, 5,    AND,  DROP, SWAP, OVER,
                                   SUB, DUP,  PUSH, 1,   XOR,  DROP, ADD,  LOOP, END};
    return interpret(code, scale * 1000);
}

/* ---- Non-local jumps ---- */

static jmp_buf back;

OUT_OF_LINE static void descend(unsigned depth)
{
    if (!depth)
        longjmp(back, 1);
    if (depth < 100)
        descend(depth - 1);
    __asm__ volatile(""); /* not a tail call */
}

static uint64_t non_local(unsigned scale)
{
    volatile uint64_t count = 0;
    for (volatile unsigned i = 0; i < scale * 100; i++) {
        if (setjmp(back))
            count += i;
        else
            descend(i % 16);
    }
    return count;
}

const struct kernel kernels[] = {
    {"fibonacci", fibonacci},
    {"deep-recursion", deep_recursion},
    {"virtual", virtual_calls},
    {"callbacks", callbacks},
    {"interpreter", interpreter},
    {"setjmp", non_local},
    {NULL, NULL},
};
