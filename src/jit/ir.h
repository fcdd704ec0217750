/* The intermediate representation: what a front end makes of guest code and the back end makes host code of.
 *
 * A unit is one linear piece of SSA: one entry, any number of exits, no joins. Values are named by 16-bit references:
 * constants from 1 on, instructions from IR_BASE on.
 *
 *   struct ir_ins, 8 bytes:    op 8 | type 3, hint 5 | prev 16 | a 16 | b 16
 *
 * Guest state is in slots. GET is a slot's value at the unit's entry, SET gives it a new one; the state at any
 * instruction is what the nearest SETs before it say, so that no snapshot is ever written down: the back end, which
 * walks backwards, meets the SETs and follows their `prev`. The first instructions of every unit are the GETs of all
 * pinned slots, in order.
 *
 * Instructions are folded and shared while they are made: ir_emit() may return an older value or a constant.
 *
 * Threads: none of this is shared. Lifetime: a struct ir is reused by ir_begin(); it owns nothing outside itself. */
#ifndef JIT_IR_H
#define JIT_IR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint16_t ir_ref; /* 0: none */

enum ir_type { IR_I32, IR_I64, IR_F32, IR_F64 };

enum ir_op {
#define OP(name, text, result, a, b, flags) IR_##name,
#include "jit/ops.def"
#undef OP
    IR_OP_COUNT
};

enum ir_result { IR_RESULT_N, IR_RESULT_I, IR_RESULT_F };
enum ir_kind { IR_KIND_0, IR_KIND_R, IR_KIND_S, IR_KIND_C, IR_KIND_N, IR_KIND_P };
enum ir_flag { IR_PURE = 1, IR_SWAP = 2, IR_FAULT = 4, IR_LEAVE = 8, IR_KEEP = 16, IR_PART = 32 };

struct ir_op_info {
    const char *text;
    uint8_t result; /* enum ir_result */
    uint8_t a, b;   /* enum ir_kind */
    uint8_t flags;  /* enum ir_flag */
};
extern const struct ir_op_info ir_ops[IR_OP_COUNT];

struct ir_ins {
    uint8_t op;
    uint8_t type : 3; /* enum ir_type */
    uint8_t hint : 5; /* the pin (index + 1) of the slot that the value was first set to; 0 none */
    union {
        ir_ref prev; /* SET: the SET or GET of the slot before, or 0 */
        struct {
            uint8_t reg, spill; /* others, in the back end: where the value is */
        };
    };
    ir_ref a, b;
};

enum {
    IR_NOWHERE = 0xff, /* as `prev`: no register, not spilled */
    IR_BASE = 0x400,   /* references below are constants */
    IR_MAX_INS = 3072, /* of a unit */
    IR_MAX_EXITS = 256,
    IR_MAX_SLOTS = 84,
    IR_MAX_SPANS = 64,
    IR_SPAN_BYTES = 1024, /* of a span, at most: below a page */
    IR_KNOWN = 32,
    IR_SHARED_BITS = 7,
    IR_ROOM_INS = 64, /* what one guest instruction may take at most */
    IR_ROOM_CONSTANTS = 24,
    IR_ROOM_EXITS = 4,
};

/* How a unit is left. In every case all slots are home: pinned ones in their registers, others in memory. */
enum ir_exit_kind {
    IR_EXIT_GO,       /* goes on at `pc` */
    IR_EXIT_CALL,     /* the same, and `return_pc` will probably be returned to: slot `check` holds it then */
    IR_EXIT_INDIRECT, /* goes on at the EXIT's value */
    IR_EXIT_INDIRECT_CALL, /* the same with `return_pc` as above */
    IR_EXIT_RETURN, /* the same, where the latest call's return_pc is probable; the value is slot `check` */
    IR_EXIT_STOP,   /* leaves the engine with `reason` (the front end's number) at `pc` */
};

struct ir_exit {
    uint64_t pc, return_pc;
    uint8_t kind;   /* enum ir_exit_kind */
    uint8_t reason; /* IR_EXIT_STOP; `count` */
    uint8_t check;  /* IR_EXIT_CALL, _INDIRECT_CALL, _RETURN: slot with the return address */
    /* IR_EXIT_GO: leaves with `reason` when it comes by for the n-th time, n being in jit_state.counters. */
    bool count;
    bool poll; /* IR_EXIT_GO, IR_EXIT_CALL in paged memory: looks at `pending` first */
    bool far;  /* IR_EXIT_GO, IR_EXIT_CALL in paged memory: `pc` is in another page, wherever that is now */
};

/* Accesses around one address that look their page up once, in paged memory. HOST does it, right before the first of them: if the
 * bytes [low, high) from its operand on lie in one page that may be read directly, and written to if `writes`, its value is where
 * the operand is in the host's memory; else the unit is left, to go on at `pc`. The accesses are loads and stores at HOST's
 * value plus a constant, and cannot fault.
 *
 * The first access comes for certain where HOST is, and `writes` is only so when a store does. So nothing is looked up, and no page is
 * made one that is written to, for the sake of an access that may not come. That the others may rely on it is the front end's to know:
 * no operation between HOST and them changes what the page is. */
struct ir_span {
    uint64_t pc;
    ir_ref host;
    int16_t low, high;
    bool writes;
    uint8_t accesses; /* while the unit is made: 255 are many */
};

/* While the unit is made: what its latest span is that an address is reached by, at `offset` from HOST's operand. */
struct ir_known {
    ir_ref value;
    uint8_t span;
    int32_t offset;
};

/* A piece of guest state: 8 bytes in the CPU's state, at `offset` from where the back end's state register points. */
struct ir_slot {
    const char *name;
    int32_t offset;
    uint8_t type; /* IR_I64 or IR_F64 */
    uint8_t
        pin; /* 0: in memory between units; else the n-th (from 1) host register for pins of the type's class */
};

/* What front end and back end agree on; constant, outlives all units. */
struct ir_machine {
    const struct ir_slot *slots;
    unsigned slot_count;
    unsigned pin_count; /* slots 0 ... pin_count-1 are the pinned ones */
};

struct ir {
    const struct ir_machine *machine;
    uint64_t pc; /* of the unit */
    unsigned count, constant_count, exit_count;
    bool direct;   /* accesses of paged memory are the host's: its gs segment has a base for them */
    bool counted;  /* leaves with `reason` when it is entered for the n-th time: as struct ir_exit.count */
    uint8_t reason;
    bool loop;     /* has a LOOP; `machine` may be its own then: see ir_loop() */
    bool no_fold;  /* tests: make every instruction as it is asked for */
    bool marked;   /* ir_mark(), and no PC says so yet */
    uint32_t mark; /* distance to the unit's pc */
    /* From here to `exits` ir_begin() clears everything. */
    uint64_t set[2];            /* slots that have a SET, bits */
    ir_ref seen;                /* latest instruction that may fault or leave: no SET before it is dead */
    ir_ref slot[IR_MAX_SLOTS];  /* latest SET of each slot, 0 when there is none */
    ir_ref value[IR_MAX_SLOTS]; /* current value of each slot, 0 when not yet known */
    ir_ref shared[1 << IR_SHARED_BITS]; /* instructions that may be shared, by hash: the latest of each */
    uint16_t constant_hash[64];
    struct ir_exit exits[IR_MAX_EXITS];
    unsigned span_count;
    struct ir_span spans[IR_MAX_SPANS];
    struct ir_known known[IR_KNOWN]; /* by value */
    uint16_t constant_next[IR_BASE];
    int64_t constants[IR_BASE];
    struct ir_ins ins[IR_MAX_INS];
};

static inline bool ir_is_constant(ir_ref ref)
{
    return ref < IR_BASE;
}

static inline struct ir_ins *ir_at(struct ir *ir, ir_ref ref)
{
    return &ir->ins[ref - IR_BASE];
}

static inline int64_t ir_constant_value(const struct ir *ir, ir_ref ref)
{
    return ir->constants[ref];
}

/* Starts a unit. */
void ir_begin(struct ir *ir, const struct ir_machine *machine, uint64_t pc);

/* Is there room for another guest instruction, whatever it is? */
bool ir_has_room(const struct ir *ir);

ir_ref ir_constant(struct ir *ir, int64_t value);

/* Makes an instruction, folds or finds it. Operands are references, slots, exits or numbers as ops.def says. */
ir_ref ir_emit(struct ir *ir, enum ir_op op, enum ir_type type, ir_ref a, ir_ref b);

/* The same for an ADD of a constant: half of all operations are addresses and other such sums. */
ir_ref ir_sum(struct ir *ir, ir_ref a, int64_t addend);

/* An equal instruction, or 0. One candidate is looked at, which finds nearly all. */
ir_ref ir_find(struct ir *ir, enum ir_op op, enum ir_type type, ir_ref a, ir_ref b);

/* Appends the instruction as it is. */
ir_ref ir_append(struct ir *ir, enum ir_op op, enum ir_type type, ir_ref a, ir_ref b);

/* The slot's current value; one that is in memory is loaded here. */
ir_ref ir_get(struct ir *ir, unsigned slot);
void ir_set(struct ir *ir, unsigned slot, ir_ref value);

/* What follows belongs to the guest instruction at `pc`. */
void ir_mark(struct ir *ir, uint64_t pc);

/* The pc that was marked for the instruction, which may fault or leave. */
uint64_t ir_pc_of(const struct ir *ir, ir_ref ref);

void ir_branch(struct ir *ir, ir_ref condition, struct ir_exit exit);

/* Every way round a loop passes it. It costs nothing: see struct jit_stop. */
void ir_poll(struct ir *ir, struct ir_exit exit);

/* What follows is a loop: exits to the unit's pc come back to here, with the slots' values at those exits. What was made
 * before is done once and must not be used after. A unit with a loop may have a machine of its own, with the same slots
 * in another order and other ones pinned: the back end brings the slots from where they are between units and back. */
void ir_loop(struct ir *ir);
void ir_leave(struct ir *ir, struct ir_exit exit, ir_ref target);

/* Spans (span.c). The address for the load or store of `size` bytes at base + offset that is made next: of an earlier span, of
 * a new one that is refused by going on at `pc`, or the guest's own. */
ir_ref ir_reach(struct ir *ir, ir_ref base, int64_t offset, unsigned size, bool writes, uint64_t pc);

/* Accesses that are made later look their pages up anew. */
void ir_end_spans(struct ir *ir);

/* Spans of one access become that access. ir_leave() does it. */
void ir_close_spans(struct ir *ir);

/* Is it HOST's value, or that plus a constant? */
static inline bool ir_is_host_address(const struct ir *ir, ir_ref ref)
{
    if (ir_is_constant(ref))
        return false;
    const struct ir_ins *ins = &ir->ins[ref - IR_BASE];
    if (ins->op == IR_ADD && ir_is_constant(ins->b) && !ir_is_constant(ins->a))
        ins = &ir->ins[ins->a - IR_BASE];
    return ins->op == IR_HOST;
}

/* The value of a foldable integer operation on constants; false when it has none (is not foldable). `b` of SELECT:
 * use the two values. */
bool ir_evaluate(enum ir_op op, enum ir_type type, int64_t a, int64_t b, int64_t *result);

/* What BOX sets. */
#define IR_BOXED (UINT64_C(0xffffffff) << 32)

/* The meaning of CANON. */
uint64_t ir_canonical(enum ir_type type, uint64_t bits);

/* Bytes that a load, store, atomic or ZERO accesses. */
#define IR_ZERO_BYTES 64
unsigned ir_access_size(enum ir_op op, enum ir_type type);

/* What a load of an integer makes of the bytes that it has found. */
uint64_t ir_loaded(enum ir_op op, uint64_t bytes);

/* Is it such an operation? */
static inline bool ir_can_evaluate(enum ir_op op)
{
    return op >= IR_ADD && op <= IR_GEU;
}

#endif
