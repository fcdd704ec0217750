/* Quick units in a bench, and what their instructions mean. */
#ifndef TESTS_JIT_QUICK_BENCH_H
#define TESTS_JIT_QUICK_BENCH_H

#include "bench.h"
#include "jit/quick.h"

enum {
    PC = 0x10000,
    AFTER = 0x20000, /* where the exit at the end goes */
    BRANCH = 0x30000,
    REASON = 3,
    OFTEN = 5, /* the reason of an entry too many */
    ROUNDS = 10,
    NONE = JIT_QUICK_NONE,
    ZERO = JIT_QUICK_ZERO,
};

/* Every integer pin, and some in memory; as operands. */
enum { PLACES = 13, SOURCES = PLACES + 1 };
extern const uint8_t places[PLACES], sources[SOURCES];

struct quick_bench {
    struct bench b;
    struct jit_quick_code code;
    struct jit_result made;
    struct jit_site sites[JIT_QUICK_MAX + 2]; /* the assembler's are the latest unit's */
    unsigned first_site;
    uint64_t seed;
    uint64_t slots[WIDE_SLOTS]; /* before */
    struct jit_room room;       /* all of it */
};

/* In each test: a new bench; its end. */
void start_with(struct quick_bench *q, struct jit_modes modes);
void start(struct quick_bench *q);
void finish(struct quick_bench *q);

/* A new unit, which goes on at AFTER; its instructions, two bytes each; its host code. */
void begin(struct quick_bench *q);
void add(struct quick_bench *q, struct jit_quick_ins ins);
void make(struct quick_bench *q);

/* Values that find mistakes. */
uint64_t any_value(struct quick_bench *q);
void fill_slots(struct quick_bench *q);
void fill_window(struct quick_bench *q);

/* How a unit was left. */
struct ending {
    unsigned reason;
    uint64_t pc, address;
};

/* Enters the unit, which may be entered once more, with q->slots. After a fault the state is what it was there. */
struct ending run(struct quick_bench *q);

void show(const struct quick_bench *q);
void check_slots(const struct quick_bench *q, const uint64_t *right);
void check_ending(const struct quick_bench *q, const struct ending *is, const struct ending *right);

/* The meaning. */
uint64_t value_of(const uint64_t *slots, unsigned slot);
uint64_t compute(const struct jit_quick_ins *ins, const uint64_t *slots);
bool compare(const struct jit_quick_ins *ins, const uint64_t *slots);
uint64_t load(unsigned op, const uint8_t *from);

#endif
