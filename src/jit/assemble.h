/* From IR to host code: one backward pass that drops dead code, allocates registers and emits.
 *
 *                 cold code (ways out, rare cases) grows up -->   <-- hot code grows down
 *   chunk:       |cccccccccccccccccccc                                      hhhhhhhhhhhhhhhhhh|
 *
 * Threads: a struct jit_assembler is used by one thread at a time. Lifetime: reused from unit to unit. */
#ifndef JIT_ASSEMBLE_H
#define JIT_ASSEMBLE_H

#include "jit/machine.h"

/* Free host code memory: written at one address, executed at another. */
struct jit_room {
    uint8_t *cold,
        *hot; /* where writing starts: cold code upwards from `cold`, hot code downwards from `hot` */
    ptrdiff_t to_exec; /* what to add for the address of execution */
};

/* A way out of a unit to a static pc: a 32-bit field of a jump, 4 bytes that no other access tears, which can be made
 * to lead to a unit's entry or back to the stub that leaves the engine with JIT_LINK and the link's number. */
struct jit_site {
    uint8_t *field;      /* exec address of the displacement */
    const uint8_t *stub; /* exec address */
    uint64_t pc;
};

/* Where a unit that may not come to the entry of one for long, because it loops, can be stopped: at one exec address in it
 * the other may be gone to instead, which leads to the `poll` thunk. NULL: it has no such place. */
struct jit_stop {
    const uint8_t *at, *out;
};

/* The code that all units share; made once by jit_make_thunks(). Exec addresses. */
struct jit_thunks {
    /* Runs translated code from `entry` until it comes back; enum jit_reason, the value is in the state. */
    unsigned (*enter)(void *state_register, const void *entry);
    const uint8_t *link;   /* a link's stub comes here, its number in the first scratch register */
    const uint8_t *lookup; /* pc in the first scratch register */
    const uint8_t *stop;   /* the same, the reason in the second */
    const uint8_t *fault;  /* where the signal handler sends a faulting hart; */
    const uint8_t
        *poll; /* one at a unit's entry that was asked to stop, the unit's pc in the state's `value`; */
    const uint8_t *buried;        /* one at the entry of a unit that is buried, the same */
    const uint8_t *missed_return; /* resets the return stack, then as an indirect jump */
    const uint8_t *indirect;      /* of paged code: to the guest's address in the first scratch register */
    const uint8_t *
        underflow; /* what the word at the return stack's bottom points to: return slot's value, then as missed_return */
    const uint8_t *call; /* calls the function number in the second scratch register */
    const uint8_t *call_fp;
    const uint8_t
        *access; /* paged memory: does what the state's `access` says, by the helper; changes no register */
    const void *constants; /* 16-byte constants of floating-point code */
};

/* Test modes; 0 in normal use. */
struct jit_modes {
    uint32_t random;    /* seed: registers are chosen by chance */
    bool few_registers; /* three scratch registers of each class beside the pins' */
    bool no_returns;    /* no return stack: calls and returns are plain jumps */
    bool no_chain;      /* every exit leaves the engine */
    bool baseline;      /* no instruction beyond x86-64-v1 */
};

struct jit_assembler;

int jit_assembler_new(struct jit_assembler **out, const struct jit_machine *machine, struct jit_modes modes);
void jit_assembler_free(struct jit_assembler *as);

struct jit_result {
    struct jit_room room; /* what is left */
    const uint8_t *entry; /* exec address; NULL: the unit is given up */
    struct jit_stop stop;
    unsigned site_count;          /* numbered from first_site on */
    const struct jit_site *sites; /* borrowed from the assembler until the next unit */
};

/* Makes the unit's code; its links are numbered from `first_site`. There must be JIT_UNIT_MAX bytes of room. The IR
 * is used up. */
#define JIT_UNIT_MAX (64u << 10)
void jit_assemble(struct jit_assembler *as, struct ir *ir, const struct jit_thunks *thunks,
                  struct jit_room room, unsigned first_site, struct jit_result *result);

/* Does the same again with the same room, in memory of its own, and finds out what the instruction at exec address
 * `at` left where: writes the slots' values as they were there to `state_register`, gives the guest's pc and the
 * guest address that was accessed. */
bool jit_recover(struct jit_assembler *as, struct ir *ir, const struct jit_thunks *thunks,
                 struct jit_room room, unsigned first_site, const struct jit_fault *fault,
                 void *state_register, uint64_t *pc, uint64_t *address);

/* Makes the shared code at room->cold, which moves on. */
void jit_make_thunks(const struct jit_machine *machine, struct jit_modes modes, struct jit_room *room,
                     struct jit_thunks *thunks);

/* Makes a link lead to `target`, a unit's entry or the site's stub. `field` is the address for writing. Any thread
 * may be executing it. */
void jit_patch(uint8_t *field, ptrdiff_t to_exec, const uint8_t *target);

/* From now on whoever comes to the unit's entry, or to where it can be stopped, faults there: `buried` of the thunks
 * is the way out then, or that of the stop. Who is inside goes on. `place`: address for writing. */
void jit_bury(uint8_t *place);

/* Is it such a place? Either address. Async-signal-safe. */
bool jit_is_buried(const uint8_t *place);

/* Is it an instruction that an atomic operation may come to again and again, while other threads change the word? Nothing is done
 * before it, so jit_recover() knows the state there. Async-signal-safe. */
bool jit_is_retried(const uint8_t *pc);

#endif
