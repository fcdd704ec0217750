/* Loops: one way round, lifted as often as it takes to know what holds at its head.
 *
 *   the way as any unit has it  ->  which registers it uses most, which floating-point registers it leaves raw or boxed
 *                               ->  lifted so; what does not hold at every way back is taken back  ->  again
 */
#include "base/util.h"
#include "cpu/riscv/extensions.h"
#include "cpu/riscv/fp.h"
#include "cpu/riscv/lift_row.h"

#include <string.h>

static uint32_t bit_of(unsigned number)
{
    return UINT32_C(1) << number;
}

/* ---- Registers for slots ---- */

static void count_use(struct ir *ir, ir_ref ref, uint16_t *uses)
{
    if (ir_is_constant(ref))
        return;
    const struct ir_ins *ins = ir_at(ir, ref);
    if (ins->op == IR_GET)
        uses[ins->a]++;
}

static void count_uses(struct ir *ir, uint16_t *uses)
{
    for (unsigned i = ir->machine->pin_count; i < ir->count; i++) {
        const struct ir_ins *ins = &ir->ins[i];
        const struct ir_op_info *info = &ir_ops[ins->op];
        if (ins->op == IR_SET)
            uses[ins->a]++;
        if (info->a == IR_KIND_R)
            count_use(ir, ins->a, uses);
        if (info->b == IR_KIND_R)
            count_use(ir, ins->b, uses);
    }
}

/* Two slots change places; what has the pin is in front. */
static void exchange(struct lift_loop *loop, unsigned pinned, unsigned other)
{
    struct ir_slot gains = loop->slots[other], loses = loop->slots[pinned];
    gains.pin = loses.pin;
    loses.pin = 0;
    loop->slots[pinned] = gains;
    loop->slots[other] = loses;
    uint8_t *numbers = gains.type == IR_F64 ? loop->f_slot : loop->x_slot;
    for (unsigned i = 0; i < 32; i++) {
        if (numbers[i] == pinned)
            numbers[i] = (uint8_t)other;
        else if (numbers[i] == other)
            numbers[i] = (uint8_t)pinned;
    }
}

/* The most used slot of the type without a pin, or the least used one with a pin; IR_MAX_SLOTS: none. */
static unsigned extreme(const struct lift_loop *loop, const uint16_t *uses, enum ir_type type, bool pinned)
{
    unsigned first = pinned ? 0 : loop->machine.pin_count;
    unsigned end = pinned ? loop->machine.pin_count : LIFT_RESERVE_ADDRESS, found = IR_MAX_SLOTS;
    for (unsigned slot = first; slot < end; slot++)
        if (loop->slots[slot].type == type &&
            (found == IR_MAX_SLOTS || (pinned ? uses[slot] < uses[found] : uses[slot] > uses[found])))
            found = slot;
    return found;
}

/* A pin that is used has its price on the ways in and out. */
static bool share_pins(struct lift_loop *loop, uint16_t *uses, enum ir_type type)
{
    bool any = false;
    for (;;) {
        unsigned other = extreme(loop, uses, type, false), pinned = extreme(loop, uses, type, true);
        if (!uses[other] || uses[other] < uses[pinned] + (uses[pinned] ? 2 : 1))
            return any;
        exchange(loop, pinned, other);
        uint16_t t = uses[other];
        uses[other] = uses[pinned];
        uses[pinned] = t;
        any = true;
    }
}

/* ---- What holds at the head ---- */

static void require_nearest_at_head(struct lifter *l)
{
    enum { FRM = 7 };
    if (!l->loop->nearest)
        return;
    lift_guard(l, lift_op_k(l, IR_AND, IR_I64, ir_get(l->ir, LIFT_ROUNDING), FRM));
    l->nearest = true;
}

/* Nothing in a loop switches it off. */
static void require_fp_at_head(struct lifter *l)
{
    if (l->loop->fp_on)
        lift_require_fp_state(l, l->loop->fp_dirty);
}

/* Once, where every round would look: see LIFT_INSIDE_REACH. */
static void require_inside_at_head(struct lifter *l)
{
    for (uint32_t set = l->loop->inside; set; set &= set - 1)
        lift_require_inside(l, lift_x(l, (unsigned)__builtin_ctz(set)));
    l->inside_count = 0;
}

/* The values of the head itself are known to be inside from here on. */
static void begin_inside(struct lifter *l)
{
    for (uint32_t set = l->loop->inside; set && l->inside_count < LIFT_MAX_INSIDE; set &= set - 1) {
        unsigned number = (unsigned)__builtin_ctz(set);
        l->inside[l->inside_count++] = l->loop->head[number] = lift_x(l, number);
    }
    l->accessed = 0;
}

uint32_t lift_loop_inside(const struct lifter *l, ir_ref value)
{
    if (l->shaped)
        for (uint32_t set = l->loop->inside; set; set &= set - 1)
            if (l->loop->head[__builtin_ctz(set)] == value)
                return set & -set;
    return 0;
}

/* Is the register at the way back what it was at the head, or a little away from it, after an access? */
static bool stays_inside(const struct lifter *l, unsigned number)
{
    ir_ref head = l->loop->head[number], value = l->ir->value[l->x_slot[number]];
    if (value == head)
        return true;
    if (!value || ir_is_constant(value) || !(l->accessed & bit_of(number)))
        return false;
    const struct ir_ins *ins = ir_at(l->ir, value);
    if (ins->op != IR_ADD || ins->type != IR_I64 || ins->a != head || !ir_is_constant(ins->b))
        return false;
    int64_t step = ir_constant_value(l->ir, ins->b);
    return -LIFT_INSIDE_REACH < step && step < LIFT_INSIDE_REACH;
}

static void collect_inside(struct lifter *l)
{
    for (unsigned i = 0; i < l->inside_count && i < LIFT_MAX_INSIDE; i++) {
        const struct ir_ins *ins = ir_is_constant(l->inside[i]) ? NULL : ir_at(l->ir, l->inside[i]);
        for (unsigned number = 1; number < 32 && ins && ins->op == IR_GET; number++)
            if (l->x_slot[number] == ins->a)
                l->loop->inside |= bit_of(number);
    }
}

static bool is_in(uint32_t set, unsigned number)
{
    return set >> number & 1;
}

/* A raw register may hold any NaN if it stands for the canonical one. */
static void require_at_head(struct lifter *l, unsigned number)
{
    const struct lift_loop *loop = l->loop;
    bool single = is_in(loop->raw_single, number);
    ir_ref bits = lift_op(l, IR_BITS, IR_I64, ir_get(l->ir, l->f_slot[number]), 0);
    if (single || is_in(loop->boxed | loop->loose, number))
        lift_guard(l, lift_op_k(l, IR_NE, IR_I64, lift_op_k(l, IR_SAR, IR_I64, bits, 32), UINT64_MAX));
    if (!single && !is_in(loop->raw_double, number))
        return;
    /* Without its sign: above infinity. */
    uint64_t infinity = single ? UINT64_C(0xff) << 56 : UINT64_C(0x7ff) << 53;
    ir_ref magnitude = lift_op_k(l, IR_SHL, IR_I64, bits, single ? 33 : 1);
    ir_ref nan = lift_op(l, IR_LTU, IR_I64, lift_constant(l, infinity), magnitude);
    uint64_t canonical = ir_canonical(single ? IR_F32 : IR_F64, UINT64_MAX);
    ir_ref other = lift_op_k(l, IR_NE, IR_I64, bits, canonical);
    lift_guard(l, lift_op(l, IR_AND, IR_I64, nan, other));
}

/* Registers whose values are unfinished at the head. */
static uint32_t unfinished(const struct lift_loop *loop)
{
    return loop->loose | loop->raw_single | loop->raw_double;
}

/* What finishes the register's value. */
static ir_ref finish(struct lifter *l, unsigned number, ir_ref value)
{
    const struct lift_loop *loop = l->loop;
    enum ir_type type = is_in(loop->raw_double, number) ? IR_F64 : IR_F32;
    return lift_op(l, is_in(loop->loose, number) ? IR_BOX : IR_CANON, type, value, 0);
}

static void begin_loop(struct lifter *l)
{
    const struct lift_loop *loop = l->loop;
    ir_mark(l->ir, l->pc);
    require_fp_at_head(l);
    require_nearest_at_head(l);
    require_inside_at_head(l);
    for (uint32_t set = loop->boxed | unfinished(loop); set; set &= set - 1)
        require_at_head(l, (unsigned)__builtin_ctz(set));
    ir_loop(l->ir);
    begin_inside(l);
    for (uint32_t set = unfinished(loop); set; set &= set - 1) {
        unsigned number = (unsigned)__builtin_ctz(set), slot = l->f_slot[number];
        ir_set(l->ir, slot, finish(l, number, ir_get(l->ir, slot)));
    }
    l->boxed = loop->boxed | loop->loose | loop->raw_single;
    ir_poll(l->ir, (struct ir_exit){.kind = IR_EXIT_GO, .pc = l->pc});
}

/* Which set the register would belong to for its value; NULL: that is finished. */
static uint32_t *set_of(const struct lifter *l, unsigned number, const struct ir_ins **last)
{
    struct lift_loop *loop = l->loop;
    ir_ref value = l->ir->value[l->f_slot[number]];
    if (!value || ir_is_constant(value))
        return NULL;
    const struct ir_ins *ins = *last = ir_at(l->ir, value);
    if (ins->op == IR_BOX)
        return &loop->loose;
    if (ins->op != IR_CANON)
        return NULL;
    return ins->type == IR_F32 ? &loop->raw_single : &loop->raw_double;
}

/* What the way as any unit has it shows. */
static void collect(struct lifter *l)
{
    const struct ir_ins *last;
    l->loop->boxed |= l->asked;
    l->loop->nearest |= l->nearest;
    collect_inside(l);
    l->loop->fp_on |= l->fp_on;
    l->loop->fp_dirty |= l->fp_dirty;
    for (unsigned i = 0; i < 32; i++) {
        uint32_t *set = set_of(l, i, &last);
        if (set)
            *set |= bit_of(i);
    }
}

void lift_loop_loosen(struct lifter *l)
{
    struct lift_loop *loop = l->loop;
    if (!l->shaped) {
        collect(l);
        return;
    }
    loop->boxed &= l->boxed;
    for (uint32_t set = loop->inside; set; set &= set - 1)
        if (!stays_inside(l, (unsigned)__builtin_ctz(set)))
            loop->inside &= ~(set & -set);
    for (uint32_t set = unfinished(loop); set; set &= set - 1) {
        unsigned number = (unsigned)__builtin_ctz(set);
        const struct ir_ins *last;
        const uint32_t *own = set_of(l, number, &last);
        if (own && is_in(*own, number)) {
            l->loop->finished[number] = l->ir->value[l->f_slot[number]];
            ir_set(l->ir, l->f_slot[number], last->a);
            continue;
        }
        loop->loose &= ~bit_of(number);
        loop->raw_single &= ~bit_of(number);
        loop->raw_double &= ~bit_of(number);
    }
}

void lift_loop_tighten(struct lifter *l)
{
    if (!l->shaped)
        return;
    for (uint32_t set = unfinished(l->loop); set; set &= set - 1) {
        unsigned number = (unsigned)__builtin_ctz(set);
        ir_set(l->ir, l->f_slot[number], l->loop->finished[number]);
    }
}

/* ---- The loop ---- */

static void lift_round(struct lifter *l)
{
    struct lift_result *r = l->result;
    const struct lifter fresh = *l;
    r->insns = r->piece_count = r->byte_count = 0;
    r->cut = false;
    l->loop->closed = false;
    ir_begin(l->ir, &l->loop->machine, l->pc);
    l->ir->direct = l->limits->direct;
    if (l->shaped)
        begin_loop(l);
    lift_trace(l);
    *l = fresh;
}

static void forget_facts(struct lift_loop *loop)
{
    loop->boxed = loop->loose = loop->raw_single = loop->raw_double = loop->inside = 0;
    loop->nearest = loop->fp_on = loop->fp_dirty = false;
}

/* Each register is in one set, and has a pin. */
static void settle_facts(struct lift_loop *loop)
{
    uint32_t pinned = 0;
    for (unsigned i = 0; i < 32; i++)
        if (loop->f_slot[i] < loop->machine.pin_count)
            pinned |= bit_of(i);
    loop->raw_double &= pinned;
    loop->raw_single &= pinned & ~loop->raw_double;
    loop->loose &= pinned & ~(loop->raw_single | loop->raw_double);
    loop->boxed &= pinned & ~unfinished(loop);
}

/* Lifts the loop until what was taken to hold at its head does. Facts become fewer from round to round. */
static void shape(struct lifter *l)
{
    const struct lift_loop *loop = l->loop;
    uint32_t boxed, inside, not_finished;
    l->shaped = true;
    settle_facts(l->loop);
    do {
        boxed = loop->boxed;
        inside = loop->inside;
        not_finished = unfinished(loop);
        lift_round(l);
    } while (boxed != loop->boxed || inside != loop->inside || not_finished != unfinished(loop));
}

bool lift_loop(struct ir *ir, const struct lift_source *source, const struct lift_limits *limits, uint64_t pc,
               uint64_t path, struct lift_loop *loop, struct lift_result *result)
{
    struct lift_limits own = *limits;
    uint8_t window[LIFT_AHEAD_ROOM];
    struct lifter l = {
        .ir = ir,
        .source = source,
        .limits = &own,
        .result = result,
        .x_slot = loop->x_slot,
        .f_slot = loop->f_slot,
        .loop = loop,
        .path = path,
        .missing = extensions_missing(limits->extensions),
        .start = pc,
        .pc = pc,
        .window = window,
    };
    own.counts = false;
    own.max_insns = MIN(2 * limits->max_insns, (unsigned)LIFT_MAX_INSNS);
    loop->machine = (struct ir_machine){loop->slots, lift_machine.slot_count, lift_machine.pin_count};
    memcpy(loop->slots, lift_machine.slots, lift_machine.slot_count * sizeof(loop->slots[0]));
    memcpy(loop->x_slot, lift_x_slot, sizeof(loop->x_slot));
    memcpy(loop->f_slot, lift_f_slot, sizeof(loop->f_slot));
    forget_facts(loop);
    lift_round(&l);
    if (!loop->closed)
        return false;
    uint16_t uses[IR_MAX_SLOTS] = {0};
    count_uses(ir, uses);
    bool shared = share_pins(loop, uses, IR_I64);
    shared |= share_pins(loop, uses, IR_F64);
    bool facts = loop->boxed | loop->inside | unfinished(loop);
    if (!shared && !facts && !loop->nearest)
        return false;
    shape(&l);
    return loop->closed;
}
