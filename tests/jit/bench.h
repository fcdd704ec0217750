/* Where tests execute host code: a CPU's state, thunks, room for a unit, a window of guest memory with nothing behind it,
 * and the handlers that an engine has. One bench at a time runs. */
#ifndef TESTS_JIT_BENCH_H
#define TESTS_JIT_BENCH_H

#include "jit/assembler.h"

enum {
    BENCH_ROOM = 2 * JIT_UNIT_MAX,
    BENCH_WINDOW = 8192,
    BENCH_STACK = 64 << 10,
    BENCH_PAGE = 4096,
    BENCH_PAGE_BITS = 3
};

/* What the state register points to. */
struct cpu {
    uint64_t slots[IR_MAX_SLOTS];
    uint32_t pending;
    struct jit_page *pages;
    uint64_t bias;
    struct jit_state state;
};

/* A machine with as many pinned slots as there are pins, integer ones first, and some others, the last of which is an
 * integer's. bench_make_slots() comes first. */
enum { WIDE_INTEGER = 10, WIDE_FP = 13, WIDE_PINS = WIDE_INTEGER + WIDE_FP, WIDE_SLOTS = WIDE_PINS + 13 };
extern struct ir_slot wide_slots[WIDE_SLOTS];
extern const struct ir_machine wide_machine;
void bench_make_slots(void);

struct bench {
    struct jit_machine machine;
    struct jit_assembler *as;
    struct jit_thunks thunks;
    struct jit_room room;
    struct cpu *cpu;
    uint8_t *window, *stack;
    uint64_t guest_window; /* the guest's address of it */
    struct ir *ir, *copy;
    bool stop; /* asks the unit to */
    struct jit_page pages[1 << BENCH_PAGE_BITS];
    struct jit_far far[JIT_FAR_COUNT];
    unsigned helped; /* accesses that the table did not serve */
    struct jit_fault fault;
    struct jit_stop at_stop; /* of the unit that runs */
    unsigned flags;          /* floating-point ones that it raised */
};

void bench_init(struct bench *b, const struct ir_machine *machine, struct jit_modes modes, bool paged);
void bench_release(struct bench *b);

/* In each test: cmocka has its own handler around it. */
void bench_catch_faults(void);

/* Runs the unit, with the slots in b->cpu; enum jit_reason. After JIT_FAULT, b->fault says what jit_recover() must
 * know. */
unsigned bench_run(struct bench *b, const struct jit_result *unit);

/* Paged memory: what the table knows. */
void bench_forget_pages(struct bench *b);
void bench_know_page(struct bench *b, uint64_t address, bool writable);

/* As far as the window's page goes. */
bool bench_reaches(const struct bench *b, uint64_t address, unsigned size);

#endif
