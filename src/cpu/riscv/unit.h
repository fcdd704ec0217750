/* Units and cells: the form in which the interpreter executes code. Private to cpu/riscv.
 *
 * A unit is one predecoded piece of guest code: entered at its first cell alone, left at any taken branch or at its end.
 * When it dies, each of its instructions becomes a CELL_DEAD, so that harts inside it notice at once.
 *
 *   struct unit | cell cell cell ... | cell_info for each cell | the guest's bytes (where they may change)
 *
 * A cell has 16 bytes: the handler's address, register numbers, an immediate. What does not fit is in a second, operand
 * cell. Branches and jumps have a link there: the first cell of the unit they lead to, or of a stub that finds it.
 *
 *   branch   | handler | - | rs1 | rs2 | retired |  -  |   link   | target pc |
 *   jal      | handler | rd| -   | -   | retired | imm |   link   | target pc |   rd = target + imm
 *   jalr     | handler | rd| rs1 | -   | retired | imm |  return pc           |
 *
 * The code of a computer is `paged`: a unit is found by the gpa of its code and lies within a page, which may be mapped anywhere. Its pc,
 * targets and constants are gpas; the hart knows the difference, hart.bias. Links lead to units of the same page alone; those that
 * go beyond lead to CELL_FAR, which looks up the gva. An instruction that crosses the end of the page is in no unit.
 *
 * `retired` is the number of instructions from the unit's start to this one: added to the hart's count on the way out. */
#ifndef CPU_RISCV_UNIT_H
#define CPU_RISCV_UNIT_H

#include "cpu/riscv/code.h"
#include "cpu/riscv/hart.h"
#include "isa/riscv/isa.h"

union cell {
    struct {
        const void *handler; /* written again when the unit dies: read and written as a whole word */
        uint8_t rd, rs1, rs2;
        uint8_t
            aux; /* retired; CSRs, privileged ones: retired before; floating point: rounding mode; atomics: aq << 1 | rl */
        int32_t imm; /* fused multiply-add: rs3 */
    };
    struct {
        const union cell *link; /* as `handler`: any hart may write it */
        uint64_t target;
    };
    uint64_t constant;
};

struct buf;

/* Operations of cells beyond those of the instruction set. */
enum cell_op {
    CELL_FIRST = RV_OP_COUNT,
    CELL_LI = CELL_FIRST, /* rd = imm */
    CELL_LI64,            /* rd = constant of the operand cell */
    CELL_NEXT,            /* the unit's end: goes on at the operand cell's target */
    CELL_DEAD,            /* an instruction of a dead unit: goes on at its pc in a new one */
    CELL_COUNT,           /* a unit's start: goes on `imm` times, then leaves with EXIT_NONE */
    CELL_PC,              /* rd = hart.bias + constant of the operand cell; paged code alone */
    CELL_FAR,             /* where links that leave the page lead: goes on at hart.bias + link's target */
    CELL_OP_COUNT
};

struct cell_info {
    uint16_t
        offset; /* bytes from the unit's pc to the cell's instruction; an operand cell has the same as its first */
    uint16_t retired; /* instructions before it */
};

/* Longest unit, instructions: long enough that straight code seldom ends for it. A branch takes the place of several, so
 * that not much of what follows it is decoded in vain where it is always taken. */
#define UNIT_INSNS        48
#define UNIT_BRANCH_PLACE 16
#define UNIT_BYTES        (UNIT_INSNS * 4)

struct translation;
struct lift_way;

/* What a look-up reads is together. */
struct unit {
    uint64_t pc;
    const void *_Atomic entry;               /* of the translation, or NULL */
    struct unit *_Atomic next;               /* in the table's bucket */
    struct translation *_Atomic translation; /* of the code at the same pc, or NULL */
    struct translation *apart;               /* the one without spans, or NULL; the code's lock */
    struct unit *page_next;                  /* in the list of units that start in a page of this hash */
    uint16_t bytes;                          /* of guest code */
    uint16_t cell_count;
    bool changeable; /* without a code_invalidate(): FENCE.I compares the bytes */
    bool counted;    /* its first cell is a CELL_COUNT */
    union cell cells[];
};

struct jump_entry {
    uint64_t pc;
    const union cell *cell;
};

#define JUMP_BITS  12
#define JUMP_COUNT (1u << JUMP_BITS)

static inline struct jump_entry *jump_slot(struct jump_entry *jumps, uint64_t pc)
{
    return &jumps[(pc >> 1) & (JUMP_COUNT - 1)];
}

/* No instruction is at an odd address: the one slot that 0 belongs to must not match it. Others hold 0 when empty. */
static inline void jump_clear(struct jump_entry *jumps)
{
    jump_slot(jumps, 0)->pc = 1;
}

/* What predecoding needs of the interpreter: the address of each operation's handler, and the cell that every link points
 * to until it is followed. */
struct interp_table {
    const void *handlers[CELL_OP_COUNT]; /* by enum rv_op and cell_op */
    union cell unresolved, far;
};
const struct interp_table *interp_table(void);        /* of processes */
const struct interp_table *interp_system_table(void); /* of computers: paged code */

/* The first cell of the unit at `pc`, built when there is none; NULL when the guest may not execute there or memory is
 * short. Between code_enter() and code_leave(). */
const union cell *code_find(struct code *code, uint64_t pc);

/* While a hart is between these, no unit that it can reach is freed. */
void code_enter(struct code *code, struct hart *hart);
void code_leave(struct hart *hart);

/* Why code_find() at `pc` has failed: the address where the guest's instruction fetch fails, `pc` or, when the first half
 * of the instruction can be fetched, the second. `host_signal`: SIGSEGV, or SIGBUS where it may execute but not read. */
uint64_t code_fetch_fault(struct code *code, uint64_t pc, int *host_signal);

/* The unit, and in it the instruction, that a cell belongs to. */
const struct unit *code_locate(const union cell *cell, struct cell_info *info);

/* ---- Translations of units, for engines that translate; between code_enter() and code_leave() ---- */

/* The unit at `pc`, dead or alive, or NULL when there is none yet. */
const struct unit *code_unit(struct code *code, uint64_t pc);

/* The entry of the translation that the unit leads to, or NULL. */
const void *code_entry(const struct code *code, const struct unit *unit);

/* Makes one, or sees to it that code_find() has a unit that can be interpreted. The same result. `counts`: it may become hot. */
const void *code_translate(struct code *code, const struct unit *unit, bool counts);

/* The translation at `pc`, made when there is none; NULL when there is none to be had. */
const struct translation *code_translation(struct code *code, uint64_t pc, bool counts);

/* The hart came through the link to the unit's pc: if it has a translation, the link leads there from now on. */
void code_tie(struct code *code, uint64_t link, const struct unit *unit);

/* Where the hart that came through the link, which has LIFT_APART, goes on: the entry of the translation at `pc` without spans, made
 * when there is none; NULL when there is none to be had. */
const void *code_apart(struct code *code, uint64_t link, uint64_t pc);

/* What the translation at `pc` is, and a loop's path. */
enum code_heat {
    CODE_IS_NONE,  /* there is none now */
    CODE_IS_QUICK, /* code_promote() comes first */
    CODE_IS_COUNTED,
    CODE_IS_ASKED, /* a loop will be in its place some time later */
    CODE_IS_LOOP,
    CODE_IS_OTHER,
};
enum code_heat code_heat_at(struct code *code, uint64_t pc, uint64_t *path);

/* Translates the code at `pc`, of which there is a quick unit, once more. */
void code_promote(struct code *code, uint64_t pc);

/* Translates the code at `pc` once more, as a loop that goes this way, or has it done: true, it will be there some
 * time later. No way: it was not seen to go one; after some of that it is translated so that nothing counts its
 * rounds any more. A computer's code that looks its pages up becomes direct first. */
bool code_heat(struct hart *hart, uint64_t pc, const struct lift_way *way);

/* The unit at `pc` need not count its ways back: where they lead, no loop will be made. */
void code_cool(struct code *code, uint64_t pc);

/* A computer's user code: the translation at `pc`, which counts, becomes direct. Those that have the instruction at `pc` are direct
 * no longer, and do not count either. */
void code_make_direct(struct code *code, uint64_t pc);
void code_make_paged(struct code *code, uint64_t pc);

/* Sees to it that the interpreter's unit at `pc` is the one instruction alone, so that what follows can be a translation.
 * False: the instruction begins a translation itself. */
bool code_isolate(struct code *code, uint64_t pc);

/* The guest state at hart->fault; see translator_recover(). */
bool code_recover(struct code *code, struct hart *hart, uint64_t *address);

/* Appends to `out` what enum engine_dump asks for; nothing when there is no translation. */
void code_print(struct code *code, uint64_t pc, unsigned what, struct buf *out);

const struct engine_options *code_engine(const struct code *code);
struct translator *code_translator(const struct code *code);

/* The instruction at the hart's pc alone, predecoded for interp_go() into memory of the hart's; NULL as code_find(). `insn`:
 * what it is. */
const union cell *code_step(struct hart *hart, struct rv_insn *insn);

/* One hart at a time is between these. */
void code_alone(struct code *code);
void code_together(struct code *code);

/* ---- */

/* Runs from hart->pc on, or from `cell`, which is there. Between code_enter() and code_leave(). EXIT_NONE: came to a unit
 * that was counted out or has a translation, and returns it. */
const struct unit *interp_go(struct hart *hart, const union cell *cell);

/* From now on the hart's use of units is minded; its jump cache must be empty. */
void code_add_hart(struct code *code, struct hart *hart);
void code_remove_hart(struct code *code, struct hart *hart);

#endif
