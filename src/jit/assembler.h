/* The back end's inside: what the pass over the IR (assemble.c) and a target share.
 *
 * Everything is emitted from the last instruction to the first, so "above" is earlier in the program, and an
 * operation's operands get registers when its result already has one. Cold code alone is written forwards.
 *
 * How a target emits one operation: jit_def() for the result, jit_use() and kin for operands, its host instructions
 * from the last to the first, jit_done(). Between the calls for registers and jit_done() their choice stands. */
#ifndef JIT_ASSEMBLER_H
#define JIT_ASSEMBLER_H

#include "base/util.h"
#include "jit/assemble.h"

#include <string.h>

enum {
    JIT_REGS = 32, /* 0..15 integer, 16..31 floating point, as the target numbers them */
    JIT_NO_REG = IR_NOWHERE,
    JIT_FP = 16, /* first floating-point register */
    JIT_MAX_SITES = 2 * IR_MAX_EXITS,
    JIT_MAX_LATER = 8,
    JIT_CLAIM = 0xffff, /* what a claimed pin holds */
    JIT_CONSUMED = 31,  /* hint of an instruction that was emitted as part of its user */
};

#define JIT_REG(r)   (UINT32_C(1) << (unsigned)(r))
#define JIT_INTEGERS UINT32_C(0x0000ffff)
#define JIT_FPS      UINT32_C(0xffff0000)

/* Put off until the operation is emitted: what brings an operand into its register. */
struct jit_later {
    uint8_t reg, from; /* from: JIT_NO_REG for a constant */
    int64_t constant;
};

/* A 32-bit displacement that is known when the LOOP is reached. */
struct jit_back {
    uint8_t *field;
    ptrdiff_t to_exec;
};
enum { JIT_MAX_BACK = 32 };

struct jit_assembler {
    const struct jit_machine *machine;
    const struct jit_target *target;
    const struct jit_thunks *thunks;
    struct jit_modes modes;
    unsigned features; /* the target's: instruction sets of this host */
    struct ir *ir;

    uint8_t *hot, *cold;           /* where to write next */
    ptrdiff_t hot_exec, cold_exec; /* what to add for the address of execution */
    unsigned left;                 /* bytes that may still be written */
    bool in_cold;
    unsigned last_size;  /* bytes of the latest instruction */
    uint8_t scratch[32]; /* where the target makes one of cold code */

    uint32_t free;          /* registers that hold nothing here */
    uint32_t busy;          /* of the operation under way */
    uint32_t written;       /* by the operation under way: no other value can be there across it */
    uint32_t claimed;       /* pins that hold a copy of their slot's value from here down to the exits */
    uint64_t claimed_slots; /* theirs */
    uint32_t avoid;         /* free, but the entry value of their slot is wanted above */
    uint32_t wanted;        /* pins whose entry values are operands of the operation under way */
    ir_ref held[JIT_REGS];
    uint64_t spills;       /* free spill slots */
    uint64_t unsettled[2]; /* slots whose value at this point may not yet have a place */
    uint64_t unsure[2];    /* the same for faults, which are content with values that can be computed again */
    uint64_t sunk;         /* pinned slots that are settled with the value before CANON or BOX */
    uint64_t in_memory[2]; /* slots without a pin whose value somebody below may look for */
    uint64_t away;         /* pinned slots whose value at this point is not the entry's */
    ir_ref value[IR_MAX_SLOTS]; /* of each slot at this point; 0: in memory, as at the entry */
    struct jit_later later[JIT_MAX_LATER];
    unsigned later_count;
    uint32_t random;

    struct jit_stop stop;
    unsigned first_site, site_count;
    struct jit_site sites[JIT_MAX_SITES];
    uint8_t outer_pin[IR_MAX_SLOTS]; /* between units: register, or JIT_NO_REG */
    uint8_t pin_slot[JIT_REGS];      /* slot + 1 */
    uint8_t slot_pin[IR_MAX_SLOTS];  /* register, or JIT_NO_REG */

    /* What is so where no slot is set: pinned slots hold their entry values, the others are in memory. */
    unsigned pin_count;
    uint64_t pinned; /* slots, bits */
    uint32_t pins;   /* registers */
    ir_ref entry_held[JIT_REGS];
    ir_ref entry_value[IR_MAX_SLOTS];
    struct ir_ins entry_ins[JIT_REGS]; /* the GETs of pinned slots, with their registers */

    struct jit_back back[JIT_MAX_BACK]; /* jumps to the LOOP */
    unsigned back_count;

    struct jit_probe *probe;
};

struct jit_quick_code;
struct jit_quick_ins;

struct jit_target {
    uint32_t scratch;    /* registers that are never pins */
    uint32_t registers;  /* all that may hold values */
    uint8_t pins[2][16]; /* by class (integer, floating point) and number from 1 */
    unsigned (*features)(struct jit_modes modes);
    void (*emit)(struct jit_assembler *as, ir_ref ref);
    void (*move)(struct jit_assembler *as, unsigned to, unsigned from);
    void (*swap)(struct jit_assembler *as, unsigned a, unsigned b); /* of one class */
    void (*constant)(struct jit_assembler *as, unsigned reg,
                     int64_t value);                                      /* leaves the host's flags alone */
    void (*load)(struct jit_assembler *as, unsigned reg, int32_t offset); /* 8 bytes of the CPU's state */
    void (*store)(struct jit_assembler *as, unsigned reg, int32_t offset);
    void (*store_constant)(struct jit_assembler *as, int64_t value, int32_t offset);
    void (*finish)(struct jit_assembler *as, unsigned reg, enum ir_op op,
                   enum ir_type type);                  /* in cold code, in place: CANON, BOX */
    void (*exit)(struct jit_assembler *as, ir_ref ref); /* EXIT, BR and POLL */
    void (*loop)(struct jit_assembler *as);             /* LOOP */
    void (*count)(struct jit_assembler *as);            /* the unit's entry: struct ir.counted */
    void (*thunks)(struct jit_assembler *as, struct jit_thunks *thunks);
    /* Quick translation (quick.h): the way in, with its count; an instruction; the way out at the end. */
    void (*quick_begin)(struct jit_assembler *as, const struct jit_quick_code *code);
    void (*quick_ins)(struct jit_assembler *as, const struct jit_quick_ins *ins);
    void (*quick_end)(struct jit_assembler *as, const struct jit_quick_code *code);
};
extern const struct jit_target jit_target_host;

/* From now on code is written into the room; what was made of it. */
void jit_begin_room(struct jit_assembler *as, const struct jit_thunks *thunks, struct jit_room room,
                    unsigned first_site);
void jit_end_room(const struct jit_assembler *as, struct jit_room room, struct jit_result *result);

/* The same code as in the room, but in memory of its own, which the caller frees; NULL: there is none. */
uint8_t *jit_begin_scratch(struct jit_assembler *as, const struct jit_thunks *thunks, struct jit_room room,
                           unsigned first_site);

/* Appends bytes: above what hot code there is, or behind the cold code. */
void jit_put_bytes(struct jit_assembler *as, const void *bytes, unsigned size);

static inline const uint8_t *jit_here(const struct jit_assembler *as)
{
    return as->in_cold ? as->cold + as->cold_exec : as->hot + as->hot_exec;
}

/* The register for the operation's result, one of `allowed`. Leave out as->wanted where the result is written before
 * all operands are read. */
unsigned jit_def(struct jit_assembler *as, ir_ref ref, uint32_t allowed);

/* A register of `allowed` that holds the value when the operation begins. */
unsigned jit_use(struct jit_assembler *as, ir_ref ref, uint32_t allowed);

/* Makes the value be in `reg`, which the operation overwrites (its result's, perhaps): in place when the value dies
 * here. */
void jit_use_as(struct jit_assembler *as, ir_ref ref, unsigned reg);

/* A register of `allowed` for the operation's own use. */
unsigned jit_temp(struct jit_assembler *as, uint32_t allowed);

/* The operation destroys these: nothing stays in them across it. */
void jit_clobber(struct jit_assembler *as, uint32_t regs);

/* The operation no longer minds if an operand gets the register: the result is written when all operands are read. */
static inline void jit_share(struct jit_assembler *as, unsigned reg)
{
    as->busy &= ~JIT_REG(reg);
}

/* The values of the slots at this point, each in a place where an exit can find it. Those of the pinned slots `unfinished` may be
 * there without CANON and BOX, which the way out makes up for: for ways that are rarely taken. */
void jit_settle(struct jit_assembler *as, uint64_t unfinished);

/* The same for faults: each slot's value is somewhere, or jit_recover() can compute it from what is. So nothing is kept
 * or stored for the sake of faults alone. Called by operations that may fault, after jit_def() where the result is not
 * written before the access is done. */
void jit_settle_fault(struct jit_assembler *as);

/* Gives the value a place, if it has none yet. */
void jit_place(struct jit_assembler *as, ir_ref ref);

bool jit_is_fp(struct jit_assembler *as, ir_ref ref);

/* Brings constants and copies into place, above the operation; ends it. */
void jit_done(struct jit_assembler *as);

/* Has the value no register here, so that it may be computed as part of its user? */
static inline bool jit_is_idle(struct jit_assembler *as, ir_ref ref)
{
    const struct ir_ins *ins = ir_at(as->ir, ref);
    return ins->reg == JIT_NO_REG && ins->spill == 0;
}

/* The value before CANON or BOX, when that is not computed here. */
ir_ref jit_raw(struct jit_assembler *as, ir_ref ref);

/* The value that an operation of the type may read instead of this one: before BOX, for the low half is what it looks at, and
 * before CANON, if it does not matter which NaN a NaN is. */
ir_ref jit_unboxed(struct jit_assembler *as, ir_ref ref, enum ir_type type);
ir_ref jit_operand(struct jit_assembler *as, ir_ref ref, enum ir_type type);

/* Is the value in the CPU's state here and nowhere else, so that its user may read it there? */
bool jit_in_memory(struct jit_assembler *as, ir_ref ref, int32_t *offset);

/* Would the value get a register of its own if it were used here (so that a copy can be saved)? */
bool jit_dies(struct jit_assembler *as, ir_ref ref);

/* At an exit: the values of pinned slots that are elsewhere, or constants, shall be in their pins from where they are
 * set on, if the pins are free, so that no exit has to bring them. */
void jit_claim_pins(struct jit_assembler *as);

/* ---- Ways (ways.c) ---- */

/* Where the slots with and without pins are: as->slot_pin and kin become this machine's. Units with a loop have a layout of
 * their own; all others, and what is between units, have jit_machine.ir's. */
void jit_set_layout(struct jit_assembler *as, const struct ir_machine *machine);

/* What is to be done on a way, in the order of the program. */
enum jit_step_kind {
    JIT_STEP_MOVE,
    JIT_STEP_SWAP,
    JIT_STEP_LOAD,
    JIT_STEP_STORE,
    JIT_STEP_CONSTANT,
    JIT_STEP_STORE_CONSTANT,
    JIT_STEP_FINISH, /* CANON or BOX, in place */
};
struct jit_step {
    uint8_t kind, to, from; /* registers */
    uint8_t op, type;       /* JIT_STEP_FINISH */
    int32_t offset;         /* of what is loaded or stored */
    int64_t constant;
};
struct jit_steps {
    unsigned count;
    struct jit_step step[8 * JIT_REGS];
};

/* From a settled point: brings all pinned slots into their pins. `target`, when not 0, is to be in `target_reg` too. */
void jit_way_home(struct jit_assembler *as, ir_ref target, unsigned target_reg, struct jit_steps *steps);

/* From a settled point of a unit with a loop: brings all slots where they are between units. Overwrites scratch registers. */
void jit_way_out(struct jit_assembler *as, struct jit_steps *steps);

/* From between units into a unit with a loop. */
void jit_way_in(struct jit_assembler *as, struct jit_steps *steps);

void jit_emit_steps(struct jit_assembler *as, const struct jit_steps *steps);

/* Where a value without a register is. */
int32_t jit_home_offset(const struct jit_assembler *as, const struct ir_ins *ins);

#endif
