/* The lifter: from RISC-V instructions to the translator's IR.
 *
 * A unit begins at one pc and follows the straight way: past conditional branches, through unconditional jumps, so it is
 * made of several pieces of guest code. Lifting is a function of the bytes, the pc and the limits alone.
 *
 * What interp.c says an instruction does is what the IR does; what is rare or needs more of the hart than its slots leaves
 * with LIFT_INTERPRET. A reservation (LR/SC) is the engine's to drop, as interp_run() does: when the hart begins to run, not
 * each time translated code is entered. Retired instructions are not counted. Of the address that an indirect exit leads to,
 * bit 0 has still to be cleared: no unit begins at an odd one.
 *
 * Of a computer's code (`paged`), pc is the place in memory; what the guest calls its address is more by hart.bias, whatever page that
 * place is mapped at now. A unit lies within one page of 4 KiB. Accesses go through the hart's TLB; floating point asks whether it is
 * switched on, and what has effects beyond registers and memory is the interpreter's.
 *
 * Threads: no state. Lifetime: slots, pins and calls are constant.
 * Source: The RISC-V Instruction Set Manual, volume I. */
#ifndef CPU_RISCV_LIFT_H
#define CPU_RISCV_LIFT_H

#include "jit/quick.h"

enum {
    LIFT_MAX_INSNS = 256,
    LIFT_MAX_PIECES = 8,
    LIFT_MAX_BYTES = 4 * LIFT_MAX_INSNS,
};

/* Why a unit ends with IR_EXIT_STOP. The exit's pc is an instruction that has not been executed. */
enum lift_stop {
    LIFT_ECALL,
    LIFT_EBREAK,
    LIFT_ILLEGAL,
    LIFT_FETCH,     /* it is not wholly there */
    LIFT_INTERPRET, /* the interpreter is to execute this one, traps included; then on with what follows */
    LIFT_OUTSIDE,   /* the same, of direct code: an address is not in the window */
    LIFT_HOT, /* not an end: a way back has been gone often, the state's arguments are where it leads and the unit's pc */
    LIFT_ENTERED, /* nor is this: the unit has been entered often; where it is not a quick one, the arguments are its pc */
    LIFT_STOP_COUNT
};

/* Bit 0 of the pc of a way out: it leads to the unit at that pc that has no spans. */
#define LIFT_APART UINT64_C(1)

/* Guest code. Copies up to `size` bytes at `pc` and returns how many are there to be executed. */
struct lift_source {
    unsigned (*fetch)(void *context, uint64_t pc, uint8_t *bytes, unsigned size);
    /* Does a unit begin at `pc` already? The new one goes on there and has no copy of it. NULL: never. */
    bool (*known)(void *context, uint64_t pc);
    void *context;
};

struct lift_limits {
    uint64_t extensions; /* bits of enum rv_ext */
    unsigned max_insns;  /* 1 to LIFT_MAX_INSNS */
    bool has_fma;        /* the host has fused multiply-add */
    bool counts; /* ways back are counted, LIFT_HOT; of code that looks up its pages entries, LIFT_ENTERED */
    bool paged;  /* a computer's code */
    bool spans;  /* accesses around one address look their page up once; paged alone */
    bool direct; /* paged code for whom the host's MMU looks up pages: cpu/riscv/window.h */
};

struct lift_piece {
    uint64_t pc;
    unsigned bytes;
};

/* What the unit was made of. A `fetch` that serves these pieces, looked through in this order, makes the same unit again. */
struct lift_result {
    unsigned insns, piece_count, byte_count;
    bool cut; /* it could have gone on: to make it again, `max_insns` has to be `insns` */
    struct lift_piece pieces[LIFT_MAX_PIECES];
    uint8_t bytes[LIFT_MAX_BYTES]; /* of all pieces, one after the other */
};

/* A struct lift_source.fetch of pieces whose bytes lie one after the other. */
unsigned lift_fetch(const struct lift_piece *pieces, unsigned count, const uint8_t *from, uint64_t pc,
                    uint8_t *bytes, unsigned size);

/* Lifts the unit at `pc`, which is even. False when there is not even one whole instruction. */
bool lift_unit(struct ir *ir, const struct lift_source *source, const struct lift_limits *limits, uint64_t pc,
               struct lift_result *result);

/* The same as a quick unit. False, too, when it has instructions that no quick unit can have. */
bool lift_quick(struct jit_quick_code *code, const struct lift_source *source,
                const struct lift_limits *limits, uint64_t pc, struct lift_result *result);

/* A loop as a unit of its own: one way round from its head back to it. What the way uses most has pins, whatever they hold
 * between units, and what is known of floating-point registers at the head need not be looked at in each round. */
struct lift_loop {
    struct ir_machine machine;
    struct ir_slot slots[IR_MAX_SLOTS];
    uint8_t x_slot[32], f_slot[32];
    bool closed;          /* the way leads back */
    bool nearest;         /* the dynamic rounding mode is to nearest even */
    bool fp_on, fp_dirty; /* paged code: floating point is on, its state dirty */
    uint32_t
        inside; /* direct code: x registers that the window holds, bits, as long as each round accesses what they point to */
    uint32_t boxed;                  /* f registers that hold boxed singles, bits */
    uint32_t loose;                  /* those that hold singles with anything in the upper half, before BOX */
    uint32_t raw_single, raw_double; /* those that hold what arithmetic left, before CANON */
    ir_ref head[32];                 /* x registers' values at the head, of those that are inside */
    ir_ref finished[32];             /* f registers' values at a way back, where they are loosened for it */
};

/* One way round a loop, as a hart has gone it. */
struct lift_way {
    uint64_t path; /* of lift_loop() */
    unsigned piece_count, byte_count;
    struct lift_piece pieces[LIFT_MAX_PIECES]; /* of more, those that come first */
    uint8_t bytes[LIFT_MAX_BYTES];
};

/* Lifts the loop with its head at `pc`. Bit n of `path` says whether the n-th conditional branch is taken. False: there is no
 * such loop, or it would gain nothing. The IR refers to `loop`. */
#define LIFT_PATH_BRANCHES 64
bool lift_loop(struct ir *ir, const struct lift_source *source, const struct lift_limits *limits, uint64_t pc,
               uint64_t path, struct lift_loop *loop, struct lift_result *result);

/* Offsets of slots and of struct jit_machine are from &hart->x[LIFT_BIAS], whence x4 to x31 and the words behind them are within a
 * byte's reach. Of the others, ra and sp have pins, and gp is seldom used. */
#define LIFT_BIAS 20
#define LIFT_OFFSET(member) \
    ((int32_t)offsetof(struct hart, member) - (int32_t)offsetof(struct hart, x[LIFT_BIAS]))

/* The part of the hart that units know: the registers but x0, the reservation, frm. */
extern const struct ir_machine lift_machine;
extern const uint8_t lift_x_slot[32]; /* of x1 to x31 */
extern const uint8_t lift_f_slot[32];

/* The functions of CALL. */
extern jit_call *const lift_calls[];

#endif
