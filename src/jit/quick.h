/* Quick translation: host code of code on slots, with no IR between them.
 *
 * Most guest code that is worth translating is not executed often enough to be worth more. An instruction here reads slots
 * and sets one; each becomes a few host instructions by itself, and between any two of them all slots are home: pinned ones
 * in their registers, others in memory. So nothing is folded, shared, allocated or kept for faults, and what it costs is a
 * quarter of what a unit of IR costs. Units of both kinds are the same to all others: entries, links, the return stack.
 *
 * The entry counts: a unit that was entered often leaves with the exit's reason, to be made anew from IR.
 *
 * Flat memory alone. Threads, lifetime: as jit_assemble(). */
#ifndef JIT_QUICK_H
#define JIT_QUICK_H

#include "jit/assemble.h"

enum {
    JIT_QUICK_MAX = 96,    /* instructions of a unit */
    JIT_QUICK_NONE = 0xff, /* as a slot: there is none */
    JIT_QUICK_ZERO = 0xfe, /* as a slot that is read: 0 */
};

enum jit_quick_kind {
    JIT_QUICK_CONSTANT, /* to = number */
    JIT_QUICK_COMPUTE, /* to = a `op` b, or but for MUL a `op` number where b is none; the number has 32 bits */
    JIT_QUICK_LOAD,    /* to, if any, = memory at a + number */
    JIT_QUICK_STORE,   /* memory at a + number = b */
    JIT_QUICK_BRANCH, /* a `op` b: leaves for pc `number` */
};

/* `op` is one of ADD, SUB, MUL, AND, OR, XOR, SHL, SHR, SAR, LT, LTU to compute; of loads and stores, of integers; of the
 * comparisons but floating-point ones. The result of an IR_I32 operation is sign-extended, LT and LTU are IR_I64. */
struct jit_quick_ins {
    uint8_t kind; /* enum jit_quick_kind */
    uint8_t op;   /* enum ir_op */
    uint8_t type; /* IR_I32, IR_I64 */
    uint8_t to, a, b;
    int32_t place; /* of the guest's instruction: bytes from the unit's pc */
    int64_t number;
};

struct jit_quick_code {
    uint64_t pc;
    unsigned count;
    uint8_t reason; /* of the exit of an entry too many */
    struct jit_quick_ins ins[JIT_QUICK_MAX];
    struct ir_exit exit; /* at the end */
    /* Where an exit to a computed pc goes: slot + offset. Then `link`, if any, is set to return_pc. */
    uint8_t target, link;
    int32_t target_offset;
};

/* As jit_assemble(). `ir` is not read; what is in it is lost. */
void jit_quick(struct jit_assembler *as, struct ir *ir, const struct jit_quick_code *code,
               const struct jit_thunks *thunks, struct jit_room room, unsigned first_site,
               struct jit_result *result);

/* As jit_recover(). */
bool jit_quick_recover(struct jit_assembler *as, struct ir *ir, const struct jit_quick_code *code,
                       const struct jit_thunks *thunks, struct jit_room room, unsigned first_site,
                       const struct jit_fault *fault, void *state_register, uint64_t *pc, uint64_t *address);

#endif
