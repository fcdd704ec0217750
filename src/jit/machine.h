/* What translated code and the monitor share at run time.
 *
 * While translated code runs, one host register points to the CPU's state (the front end's structure, which embeds a
 * struct jit_state), pinned slots are in their registers and the stack pointer is the CPU's return stack.
 *
 * Nothing in translated code looks whether it is to stop. Who wants that sets `pending` and interrupts the thread; its
 * handler lets the code go on instruction by instruction to the next entry of a unit, where all slots are home, or to a
 * loop's POLL, and from there to the `poll` thunk. Shared code that a handler cannot step through (a call of the front end's functions, the way
 * in) looks at `pending` and traps.
 *
 * Threads: a state belongs to the thread that runs it. Lifetime: embedded in its CPU. */
#ifndef JIT_MACHINE_H
#define JIT_MACHINE_H

#include "jit/ir.h"

/* Where indirect jumps went. A slot's index is (pc >> 1) % JIT_JUMP_COUNT; an empty one's pc has another index. */
struct jit_jump {
    uint64_t pc;
    const void *entry;
};
#define JIT_JUMP_BITS  12
#define JIT_JUMP_COUNT (1u << JIT_JUMP_BITS)

/* Why translated code came back. */
enum jit_reason {
    JIT_LINK,   /* the exit of link number `value` goes to a unit that it was not yet tied to */
    JIT_LOOKUP, /* goes on at pc `value` */
    JIT_POLL,   /* was asked to stop, and has come to a unit's entry or a POLL; goes on at pc `value` */
    JIT_FAULT,  /* a memory access faulted: struct jit_fault says where */
    JIT_STOP, /* + an exit's reason; `value` is the pc to go on at; of a counted one the first argument is its own */
};

#define JIT_SPILLS      64
#define JIT_COUNTERS    64
#define JIT_CALL_VALUES 3

/* The host's registers where translated code faulted. */
struct jit_fault {
    uint64_t integer[16]; /* numbered as the host's instructions number them */
    uint64_t fp[16];      /* low halves */
    const void *pc;
    uint64_t address; /* as the host told it: 0 when it did not know */
    int host_signal;
};

struct jit_state {
    void *host_stack;                    /* the monitor's stack pointer meanwhile */
    void *return_sp;                     /* the return stack's, while the monitor runs */
    void *return_base;                   /* its bottom, where a word leads to a look-up */
    uint64_t value;                      /* of enum jit_reason */
    uint64_t arguments[JIT_CALL_VALUES]; /* of calls */
    int32_t counters
        [JIT_COUNTERS]; /* of ways back, by where they lead: jit_counter(); leaves when one is below 0 */
    uint64_t spills[JIT_SPILLS];
    uint64_t saved[32]; /* registers during a call */
    struct jit_jump jumps[JIT_JUMP_COUNT];
};

/* Which counter counts the ways to a pc; several may share one. */
static inline unsigned jit_counter(uint64_t pc)
{
    return (pc >> 1) % JIT_COUNTERS;
}

typedef uint64_t jit_call(uint64_t a, uint64_t b, uint64_t c);

/* What front end and back end agree on; constant, outlives all units. Offsets are from where the state register
 * points. */
struct jit_machine {
    struct ir_machine ir;
    int32_t state;       /* offset of the struct jit_state */
    int32_t pending;     /* offset of a 32-bit word: not zero when the engine is to stop */
    uint8_t return_slot; /* where returns find their address */
    uint64_t
        memory_base; /* hva of guest address 0; when it is not 0, the host's gs segment has it as its base */
    jit_call *const *calls; /* by the number in CALL */
};

#endif
