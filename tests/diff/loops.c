/* Calls each loop that `loops` (the script beside this) has made, and prints a hash of what it leaves. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { INTEGERS = 22, FLOATS = 32, WORDS = 64 };

struct registers {
    uint64_t x[INTEGERS], f[FLOATS], fcsr, rounds_left;
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

int main(void)
{
    static const long rounds[] = {3, 11, 40, 97, 97, 97};
    for (unsigned number = 0; loops[number]; number++)
        for (unsigned i = 0; i < sizeof rounds / sizeof rounds[0]; i++) {
            struct registers registers = {0};
            uint64_t memory[WORDS];
            for (unsigned k = 0; k < INTEGERS; k++)
                registers.x[k] = integer();
            for (unsigned k = 0; k < FLOATS; k++)
                registers.f[k] = floating();
            for (unsigned k = 0; k < WORDS; k++)
                memory[k] = i % 2 && k % 2 ? integer() : floating();
            run(loops[number], &registers, memory, rounds[i]);
            printf("loop %u, %ld rounds: %016" PRIx64 ", %" PRIu64 " left\n", number, rounds[i],
                   hash(hash(0, &registers, sizeof registers), memory, sizeof memory), registers.rounds_left);
        }
    return 0;
}
