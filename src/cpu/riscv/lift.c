/* Units, and the rows that decide what follows. */
#include "cpu/riscv/lift.h"

#include "base/util.h"
#include "cpu/riscv/extensions.h"
#include "cpu/riscv/lift_row.h"

#include <assert.h>
#include <string.h>

/* What one instruction may need, beside the IR's own reserve: the guards of its operands, and the unit's end. */
enum { ROOM_EXITS = 8 };

static const struct lift_row rows[RV_OP_COUNT] = {
#define ROW(row, function, op, type, detail) [RV_##row] = {lift_##function, IR_##op, IR_##type, detail},
#include "cpu/riscv/lift.def"
#undef ROW
};

/* No row twice, and none missing. */
enum {
#define ROW(row, function, op, type, detail) HAVE_##row,
#include "cpu/riscv/lift.def"
#undef ROW
#define RV_X(row, name, ext) CHECKED_##row = HAVE_##row,
    RV_ROWS(RV_X)
#undef RV_X
};

/* ---- Ways out ---- */

static bool is_lifted(const struct lifter *l, uint64_t pc)
{
    const struct lift_result *r = l->result;
    for (unsigned i = 0; i < r->piece_count; i++)
        if (pc - r->pieces[i].pc < r->pieces[i].bytes)
            return true;
    return false;
}

static void leave(struct lifter *l, struct ir_exit exit, ir_ref target)
{
    ir_leave(l->ir, exit, target);
    l->ended = true;
}

static bool leads_back(const struct lifter *l, uint64_t target)
{
    return target <= l->start;
}

/* The exit to a known pc. */
static struct ir_exit way_to(struct lifter *l, uint64_t target)
{
    return (struct ir_exit){.kind = IR_EXIT_GO,
                            .pc = target,
                            .reason = LIFT_HOT,
                            .count = leads_back(l, target) && l->limits->counts && !lift_counts_entries(l),
                            .poll = !l->loop && lift_polls(l, target), /* a loop's head does */
                            .far = lift_is_far(l, target)};
}

/* Is it the way back in the loop that the unit is to be? */
static bool closes_loop(const struct lifter *l, uint64_t target)
{
    return l->loop && target == l->start;
}

static void leave_go(struct lifter *l, uint64_t target)
{
    if (closes_loop(l, target)) {
        lift_loop_loosen(l);
        l->loop->closed = true;
    }
    leave(l, way_to(l, target), 0);
}

void lift_leave_stop(struct lifter *l, enum lift_stop reason)
{
    leave(l, (struct ir_exit){.kind = IR_EXIT_STOP, .pc = l->pc, .reason = (uint8_t)reason}, 0);
}

void lift_guard(struct lifter *l, ir_ref condition)
{
    ir_branch(l->ir, condition,
              (struct ir_exit){.kind = IR_EXIT_STOP, .pc = l->pc, .reason = LIFT_INTERPRET});
}

/* The IR has 32 bits for the way from the unit's pc to an instruction. */
static bool is_near(const struct lifter *l, uint64_t target)
{
    const uint64_t reach = UINT64_C(1) << 30;
    return target - l->start + reach < 2 * reach;
}

void lift_begin_piece(struct lifter *l, uint64_t pc)
{
    struct lift_result *r = l->result;
    l->bound = UINT64_MAX;
    for (unsigned i = 0; i < r->piece_count; i++)
        if (r->pieces[i].pc > pc)
            l->bound = MIN(l->bound, r->pieces[i].pc);
    l->piece = &r->pieces[r->piece_count++];
    *l->piece = (struct lift_piece){.pc = pc};
}

bool lift_follows(struct lifter *l, uint64_t target)
{
    if (is_lifted(l, target) || !is_near(l, target) || lift_is_far(l, target) ||
        l->result->piece_count == LIFT_MAX_PIECES)
        return false;
    l->next = target;
    lift_begin_piece(l, target);
    return true;
}

static void follow(struct lifter *l, uint64_t target)
{
    if (!lift_follows(l, target))
        leave_go(l, target);
}

/* ---- Rows ---- */

/* detail: relative to the pc? */
void lift_upper(struct lifter *l, const struct rv_insn *insn, const struct lift_row *row)
{
    uint64_t imm = (uint64_t)(int64_t)insn->imm;
    lift_set_x(l, insn->rd, row->detail ? lift_code_address(l, l->pc + imm) : lift_constant(l, imm));
}

/* To a known pc; `rd` gets the address of what follows. */
static void jump(struct lifter *l, unsigned rd, uint64_t target)
{
    if (!rd) {
        follow(l, target);
        return;
    }
    uint64_t return_pc = l->next;
    lift_set_x(l, rd, lift_code_address(l, return_pc));
    if (rd == LIFT_RA)
        leave(l,
              (struct ir_exit){.kind = IR_EXIT_CALL,
                               .pc = target,
                               .return_pc = return_pc,
                               .check = l->x_slot[LIFT_RA],
                               .poll = lift_polls(l, target),
                               .far = lift_is_far(l, target)},
              0);
    else
        leave_go(l, target);
}

void lift_jal(struct lifter *l, const struct rv_insn *insn, const struct lift_row *row)
{
    (void)row;
    jump(l, insn->rd, l->pc + (uint64_t)(int64_t)insn->imm);
}

void lift_jalr(struct lifter *l, const struct rv_insn *insn, const struct lift_row *row)
{
    (void)row;
    uint64_t return_pc = l->next;
    uint8_t ra_slot = l->x_slot[LIFT_RA];
    if (!insn->rd && insn->rs1 == LIFT_RA && !insn->imm) {
        leave(l, (struct ir_exit){.kind = IR_EXIT_RETURN, .check = ra_slot}, lift_x(l, LIFT_RA));
        return;
    }
    ir_ref target = lift_address(l, insn);
    uint64_t known;
    if (lift_is_code_address(l, target, &known)) {
        jump(l, insn->rd, known & ~UINT64_C(1));
        return;
    }
    lift_set_x(l, insn->rd, lift_code_address(l, return_pc));
    struct ir_exit exit = {.kind = IR_EXIT_INDIRECT};
    if (insn->rd == LIFT_RA) {
        exit.kind = IR_EXIT_INDIRECT_CALL;
        exit.return_pc = return_pc;
        exit.check = ra_slot;
    }
    leave(l, exit, target);
}

/* In a loop: does its path take the branch? */
static bool takes_branch(struct lifter *l)
{
    bool taken = l->loop && l->path & 1;
    l->path >>= 1;
    return taken;
}

static void branch(struct lifter *l, ir_ref taken, uint64_t target)
{
    bool closes = closes_loop(l, target);
    if (closes)
        lift_loop_loosen(l);
    ir_branch(l->ir, taken, way_to(l, target));
    if (closes)
        lift_loop_tighten(l);
}

void lift_branch(struct lifter *l, const struct rv_insn *insn, const struct lift_row *row)
{
    uint64_t target = l->pc + (uint64_t)(int64_t)insn->imm, other = l->next;
    bool closes = closes_loop(l, target), on_path = takes_branch(l), follows = on_path && !closes;
    ir_ref condition = lift_op(l, row->op ^ follows, row->type, lift_x(l, insn->rs1), lift_x(l, insn->rs2));
    bool known = ir_is_constant(condition);
    if (!known)
        branch(l, condition, follows ? other : target);
    else if (ir_constant_value(l->ir, condition))
        follows = !follows;
    if (closes && on_path)
        l->loop->closed = true;
    if (follows)
        follow(l, target);
    else if ((closes && on_path) || (!l->loop && leads_back(l, target) && !known))
        leave_go(l, other); /* what follows a loop is another unit: registers are the loop's */
}

/* detail: enum lift_stop */
void lift_stop(struct lifter *l, const struct rv_insn *insn, const struct lift_row *row)
{
    (void)insn;
    lift_leave_stop(l, l->limits->paged ? LIFT_INTERPRET : row->detail);
}

/* ---- Units ---- */

static void refill(struct lifter *l)
{
    l->window_pc = l->pc;
    l->window_size = l->source->fetch(l->source->context, l->pc, l->window, LIFT_AHEAD);
    l->window_whole = l->window_size >= sizeof(uint32_t) ? l->window_size - 3 : 0;
}

unsigned lift_next_word(struct lifter *l, uint32_t *word)
{
    uint64_t at = l->pc - l->window_pc;
    if (unlikely(at >= l->window_whole)) {
        refill(l);
        at = 0;
    }
    unsigned there = l->window_size - (unsigned)at;
    /* Bytes that are not there are zeros or older ones. */
    memcpy(word, l->window + at, sizeof(*word));
    return there;
}

void lift_record(struct lifter *l, uint32_t word, unsigned length)
{
    struct lift_result *r = l->result;
    /* The upper half of a short one is overwritten by the next, or is beyond byte_count. */
    memcpy(r->bytes + r->byte_count, &word, sizeof(word));
    l->piece->bytes += length;
    r->byte_count += length;
    r->insns++;
}

/* So many instructions fit in any unit. */
enum { SURE_INSNS = 24 };
static_assert(SURE_INSNS * IR_ROOM_INS + IR_MAX_SLOTS <= IR_MAX_INS &&
                  SURE_INSNS * IR_ROOM_CONSTANTS + 1 <= IR_BASE && SURE_INSNS * ROOM_EXITS <= IR_MAX_EXITS,
              "there is room for them");

static bool has_room(const struct lifter *l)
{
    unsigned insns = l->result->insns;
    if (insns >= l->limits->max_insns || lift_is_far(l, l->pc))
        return false;
    return insns < SURE_INSNS || (ir_has_room(l->ir) && l->ir->exit_count + ROOM_EXITS <= IR_MAX_EXITS);
}

bool lift_is_known(const struct lifter *l)
{
    return l->source->known && l->result->insns && l->source->known(l->source->context, l->pc);
}

unsigned lift_peek(struct lifter *l, struct rv_insn *insns, unsigned count)
{
    uint64_t pc = l->pc;
    unsigned found = 0;
    l->pc = l->next;
    while (found < count && l->result->insns + found < l->limits->max_insns) {
        struct rv_insn *insn = &insns[found];
        uint32_t word;
        if (lift_next_word(l, &word) < ((word & 3) == 3 ? 4 : 2) || !rv_decode(word, insn) ||
            (l->missing && extension_is_missing(insn, l->missing)))
            break;
        l->pc += insn->length;
        found++;
    }
    l->pc = pc;
    return found;
}

void lift_take(struct lifter *l, const struct rv_insn *insn)
{
    l->pc = l->next;
    l->next = l->pc + insn->length;
    lift_record(l, insn->word, insn->length);
    ir_mark(l->ir, l->pc);
}

static void lift_insn(struct lifter *l)
{
    struct rv_insn insn;
    uint32_t word;
    unsigned there = lift_next_word(l, &word), length = (word & 3) == 3 ? 4 : 2;
    if (there < length) {
        lift_leave_stop(l, LIFT_FETCH);
        return;
    }
    bool legal = rv_decode(word, &insn) && !(unlikely(l->missing) && extension_is_missing(&insn, l->missing));
    lift_record(l, word, length);
    ir_mark(l->ir, l->pc);
    if (unlikely(!legal)) {
        lift_leave_stop(l, LIFT_ILLEGAL);
        return;
    }
    const struct lift_row *row = &rows[insn.op];
    l->next = l->pc + length;
    if (unlikely(l->limits->paged))
        lift_require_fp(l, &insn);
    row->lift(l, &insn, row);
    l->pc = l->next;
}

void lift_trace(struct lifter *l)
{
    struct lift_result *r = l->result;
    lift_begin_piece(l, l->pc);
    while (!l->ended) {
        r->cut = !has_room(l) || l->pc >= l->bound || (!l->loop && lift_is_known(l));
        if (r->cut)
            leave_go(l, l->pc);
        else
            lift_insn(l);
    }
    if (!l->piece->bytes) /* it was left where it began */
        r->piece_count--;
}

unsigned lift_fetch(const struct lift_piece *pieces, unsigned count, const uint8_t *from, uint64_t pc,
                    uint8_t *bytes, unsigned size)
{
    for (unsigned i = 0; i < count; from += pieces[i++].bytes) {
        uint64_t offset = pc - pieces[i].pc;
        if (offset >= pieces[i].bytes)
            continue;
        size = (unsigned)MIN(pieces[i].bytes - offset, size);
        memcpy(bytes, from + offset, size);
        return size;
    }
    return 0;
}

bool lift_unit(struct ir *ir, const struct lift_source *source, const struct lift_limits *limits, uint64_t pc,
               struct lift_result *result)
{
    uint8_t window[LIFT_AHEAD_ROOM];
    struct lifter l = {
        .ir = ir,
        .source = source,
        .limits = limits,
        .result = result,
        .x_slot = lift_x_slot,
        .f_slot = lift_f_slot,
        .missing = extensions_missing(limits->extensions),
        .start = pc,
        .pc = pc,
        .window = window,
    };
    result->insns = result->piece_count = result->byte_count = 0;
    result->cut = false;
    ir_begin(ir, &lift_machine, pc);
    ir->direct = limits->direct;
    ir->counted = limits->counts && lift_counts_entries(&l);
    ir->reason = LIFT_ENTERED;
    lift_trace(&l);
    return result->insns != 0;
}
