/* A guest under an engine, for tests: a little memory, programs of hand-made instructions, the handlers of an owner.
 *
 * Threads: one hart at a time runs. Lifetime: start() ... stop(). */
#ifndef TESTS_UNIT_ENGINE_FIXTURE_H
#define TESTS_UNIT_ENGINE_FIXTURE_H

#include "cpu/riscv/engine.h"
#include "cpu/riscv/unit.h"
#include "insns.h"

enum {
    CODE = 0x1000,
    DATA = 0x4000,     /* two pages, and nothing behind them */
    READ_ONLY = 0x8000 /* a page */
};
#define PAGE        0x1000u
#define STACK_END   0x4000000u
#define MEMORY_SIZE (STACK_END + 0x1000u)

enum {
    RA = 1,
    SP = 2,
    T0 = 5,
    S0 = 8,
    S1 = 9,
    A0 = 10,
    A1 = 11,
    A2 = 12,
    A4 = 14,
    A5 = 15,
    T3 = 28,
    T4 = 29,
    T5 = 30
};

/* Guest addresses are the host's, or begin with the memory. */
struct guest {
    uint8_t *memory;
    uint64_t start; /* guest address of the memory's first byte */
    struct engine_options options;
    bool changeable; /* its code: FENCE.I looks for changes */
    struct code *code;
    struct hart hart;
};

/* A word of the guest's, or NULL: changes after each single step, as under other harts. */
extern _Atomic uint32_t *contended;

/* The guest whose hart runs, or NULL: for the handlers. */
extern struct hart *running;

/* In each test: cmocka has handlers of its own. start() does it. */
void install_handler(void);

/* `based`: guest addresses begin with the memory; else they are the host's. */
void start(struct guest *g, const char *engine, const char *options, bool based);
void stop(struct guest *g);

/* The same in the memory of another guest. */
void start_in(struct guest *g, uint8_t *memory, const char *engine, const char *options, bool based);
void stop_keeping_memory(struct guest *g);

/* Into memory, at *at, which moves on; and from CODE on, where the hart is to begin. */
void put(struct guest *g, uint64_t *at, struct rv_insn insn);
void put_all(struct guest *g, const struct rv_insn *insns, unsigned count);
#define PROGRAM(g, ...)                                                     \
    do {                                                                    \
        const struct rv_insn insns_[] = {__VA_ARGS__};                      \
        put_all(g, insns_, (unsigned)(sizeof(insns_) / sizeof(insns_[0]))); \
    } while (0)

/* Until something other than a kick ends it. */
enum exit_kind run(struct guest *g);
enum exit_kind run_hart(struct hart *hart);

#endif
