/* Building a unit: constants, slots, sharing. The rules of folding are in fold.c. */
#include "jit/ir.h"

#include <assert.h>
#include <string.h>

#include "base/util.h"
#include "jit/fold.h"

enum {
    INFO_0 = IR_KIND_0,
    INFO_R = IR_KIND_R,
    INFO_S = IR_KIND_S,
    INFO_C = IR_KIND_C,
    INFO_N = IR_KIND_N,
    INFO_P = IR_KIND_P,
    PURE = IR_PURE,
    SWAP = IR_SWAP,
    FAULT = IR_FAULT,
    LEAVE = IR_LEAVE,
    KEEP = IR_KEEP,
    PART = IR_PART,
};

const struct ir_op_info ir_ops[IR_OP_COUNT] = {
#define OP(name, text, result, a, b, flags) {text, IR_RESULT_##result, INFO_##a, INFO_##b, flags},
#include "jit/ops.def"
#undef OP
};

/* An instruction as one word: written field by field, the bit-fields cost more than all the rest. */
static inline uint64_t whole(enum ir_op op, enum ir_type type, ir_ref prev, ir_ref a, ir_ref b)
{
    static_assert(sizeof(struct ir_ins) == sizeof(uint64_t), "an instruction is a word");
    return (uint64_t)op | (uint64_t)type << 8 | (uint64_t)prev << 16 | (uint64_t)a << 32 | (uint64_t)b << 48;
}

static inline ir_ref push(struct ir *ir, enum ir_op op, enum ir_type type, ir_ref prev, ir_ref a, ir_ref b)
{
    uint64_t ins = whole(op, type, prev, a, b);
    unsigned index = ir->count;
    assert(index < IR_MAX_INS);
    memcpy(&ir->ins[index], &ins, sizeof(ins));
    ir->count = index + 1;
    return (ir_ref)(IR_BASE + index);
}

static ir_ref push_get(struct ir *ir, unsigned slot)
{
    ir_ref ref = push(ir, IR_GET, (enum ir_type)ir->machine->slots[slot].type, IR_NOWHERE, (ir_ref)slot, 0);
    ir->value[slot] = ref;
    return ref;
}

/* Ties a SET to the state before it, and makes it the state. */
static ir_ref push_set(struct ir *ir, enum ir_type type, unsigned slot, ir_ref value)
{
    ir_ref before = ir->slot[slot];
    unsigned first = !before & (slot < ir->machine->pin_count); /* in numbers: hard to predict */
    before |= (ir_ref)((IR_BASE + slot) & -first);
    ir->slot[slot] = push(ir, IR_SET, type, before, (ir_ref)slot, value);
    ir->set[slot / 64] |= UINT64_C(1) << slot % 64;
    ir->value[slot] = value;
    return ir->slot[slot];
}

/* As push_get() of each: every unit begins so. */
static void push_pinned(struct ir *ir, const struct ir_machine *machine)
{
    const struct ir_slot *slots = machine->slots;
    unsigned count = machine->pin_count;
    for (unsigned slot = 0; slot < count; slot++) {
        uint64_t get = whole(IR_GET, (enum ir_type)slots[slot].type, IR_NOWHERE, (ir_ref)slot, 0);
        memcpy(&ir->ins[slot], &get, sizeof(get));
        ir->value[slot] = (ir_ref)(IR_BASE + slot);
    }
    ir->count = count;
}

/* The arrays of constants and instructions keep their old contents: nothing looks beyond the counts. */
void ir_begin(struct ir *ir, const struct ir_machine *machine, uint64_t pc)
{
    assert(machine->slot_count <= IR_MAX_SLOTS && machine->pin_count <= machine->slot_count);
    ir->machine = machine;
    ir->pc = pc;
    ir->count = ir->constant_count = ir->exit_count = 0;
    ir->marked = ir->loop = ir->direct = ir->counted = false;
    memset((char *)ir + offsetof(struct ir, set), 0, offsetof(struct ir, exits) - offsetof(struct ir, set));
    ir_end_spans(ir);
    ir->span_count = 0;
    push_pinned(ir, machine);
}

bool ir_has_room(const struct ir *ir)
{
    return ir->count + IR_ROOM_INS <= IR_MAX_INS && ir->constant_count + 1 + IR_ROOM_CONSTANTS <= IR_BASE &&
           ir->exit_count + IR_ROOM_EXITS <= IR_MAX_EXITS;
}

ir_ref ir_constant(struct ir *ir, int64_t value)
{
    uint64_t mixed = (uint64_t)value * 0x9e3779b97f4a7c15u;
    uint16_t *bucket = &ir->constant_hash[mixed >> 58];
    for (unsigned ref = *bucket; ref; ref = ir->constant_next[ref])
        if (ir->constants[ref] == value)
            return (ir_ref)ref;
    assert(ir->constant_count + 1 < IR_BASE);
    ir_ref ref = (ir_ref)++ir->constant_count;
    ir->constants[ref] = value;
    ir->constant_next[ref] = *bucket;
    *bucket = ref;
    return ref;
}

/* Nothing is shared across this point. */
static void forget_shared(struct ir *ir)
{
    memset(ir->shared, 0, sizeof(ir->shared));
}

static ir_ref push_loop(struct ir *ir)
{
    ir->loop = true;
    forget_shared(ir);
    for (unsigned slot = ir->machine->pin_count; slot < ir->machine->slot_count; slot++)
        ir->value[slot] = 0;
    return push(ir, IR_LOOP, IR_I64, IR_NOWHERE, 0, 0);
}

/* Appends what may fault or leave: never shared, and preceded by its PC, for which nobody asks of others. */
static inline ir_ref append_seen(struct ir *ir, enum ir_op op, enum ir_type type, ir_ref a, ir_ref b)
{
    if (ir->marked)
        push(ir, IR_PC, IR_I64, IR_NOWHERE, (ir_ref)ir->mark, (ir_ref)(ir->mark >> 16));
    ir->marked = false;
    return ir->seen = push(ir, op, type, IR_NOWHERE, a, b);
}

/* Appends what may fault. An access by way of a span cannot: nothing sees the slots there. */
static inline ir_ref append_access(struct ir *ir, enum ir_op op, enum ir_type type, ir_ref a, ir_ref b)
{
    if (unlikely(ir->span_count) && ir_is_host_address(ir, a))
        return push(ir, op, type, IR_NOWHERE, a, b);
    return append_seen(ir, op, type, a, b);
}

ir_ref ir_append(struct ir *ir, enum ir_op op, enum ir_type type, ir_ref a, ir_ref b)
{
    if (op == IR_SET)
        return push_set(ir, type, a, b);
    if (op == IR_LOOP)
        return push_loop(ir);
    if (ir_ops[op].flags & (IR_FAULT | IR_LEAVE))
        return append_access(ir, op, type, a, b);
    ir_ref ref = push(ir, op, type, IR_NOWHERE, a, b);
    if (op == IR_GET)
        ir->value[a] = ref;
    if (op == IR_SETFLAGS) /* what raised flags before may have to raise them again */
        forget_shared(ir);
    return ref;
}

/* What makes instructions equal: all but the hint and what is in `prev`. */
static const uint64_t same = ~(UINT64_C(0xffff) << 16 | 0xf800);

static inline ir_ref *shared_place(struct ir *ir, uint64_t ins)
{
    return &ir->shared[(ins & same) * 0x9e3779b97f4a7c15u >> (64 - IR_SHARED_BITS)];
}

static inline bool is_same(struct ir *ir, ir_ref ref, uint64_t ins)
{
    uint64_t other;
    memcpy(&other, ir_at(ir, ref), sizeof(other));
    return !((other ^ ins) & same);
}

ir_ref ir_find(struct ir *ir, enum ir_op op, enum ir_type type, ir_ref a, ir_ref b)
{
    uint64_t ins = whole(op, type, IR_NOWHERE, a, b);
    ir_ref ref = *shared_place(ir, ins);
    return ref && is_same(ir, ref, ins) ? ref : 0;
}

static inline ir_ref find_or_append(struct ir *ir, enum ir_op op, enum ir_type type, ir_ref a, ir_ref b)
{
    uint64_t ins = whole(op, type, IR_NOWHERE, a, b);
    ir_ref *place = shared_place(ir, ins);
    if (!is_same(ir, *place | IR_BASE, ins) || !*place)
        *place = push(ir, op, type, IR_NOWHERE, a, b);
    return *place;
}

ir_ref ir_emit(struct ir *ir, enum ir_op op, enum ir_type type, ir_ref a, ir_ref b)
{
    /* A PAIR has no result, yet equal ones must be one so that their users can be equal. */
    unsigned flags = ir_ops[op].flags;
    bool shared = (flags & IR_PURE) || op == IR_PAIR;
    if (flags & IR_FAULT)
        return append_access(ir, op, type, a, b);
    if (!shared || unlikely(ir->no_fold))
        return ir_append(ir, op, type, a, b);
    struct fold want = {ir, op, type, a, b};
    ir_ref ref = fold(&want);
    return ref ? ref : find_or_append(ir, want.op, want.type, want.a, want.b);
}

/* Is it x + *k, of a value that is no slot's from before? That one's register would have to be kept for it. */
static bool is_offset(struct ir *ir, ir_ref ref, ir_ref *x, int64_t *k)
{
    if (ir_is_constant(ref))
        return false;
    const struct ir_ins *ins = ir_at(ir, ref);
    if (ins->op != IR_ADD || ins->type != IR_I64 || !ir_is_constant(ins->b) || ir_is_constant(ins->a) ||
        ir_at(ir, ins->a)->op == IR_GET)
        return false;
    *x = ins->a;
    *k = ir_constant_value(ir, ins->b);
    return true;
}

/* (x + k) + y becomes (x + y), with k more to add: compilers address arrays in frames so, and an access has room for that. */
static ir_ref move_offset(struct ir *ir, ir_ref sum, int64_t *addend)
{
    ir_ref x;
    int64_t k, whole;
    const struct ir_ins *ins = ir_at(ir, sum);
    if (ins->op != IR_ADD || ins->type != IR_I64 || ir_is_constant(ins->a) || ir_is_constant(ins->b))
        return sum;
    bool first = is_offset(ir, ins->a, &x, &k);
    if ((!first && !is_offset(ir, ins->b, &x, &k)) || __builtin_add_overflow(*addend, k, &whole) ||
        whole != (int32_t)whole)
        return sum;
    *addend = whole;
    return find_or_append(ir, IR_ADD, IR_I64, x, first ? ins->b : ins->a);
}

ir_ref ir_sum(struct ir *ir, ir_ref a, int64_t addend)
{
    if (unlikely(ir->no_fold))
        return ir_append(ir, IR_ADD, IR_I64, a, ir_constant(ir, addend));
    if (ir_is_constant(a))
        return ir_constant(ir, (int64_t)((uint64_t)ir_constant_value(ir, a) + (uint64_t)addend));
    a = move_offset(ir, a, &addend);
    return addend ? find_or_append(ir, IR_ADD, IR_I64, a, ir_constant(ir, addend)) : a;
}

ir_ref ir_get(struct ir *ir, unsigned slot)
{
    return ir->value[slot] ? ir->value[slot] : push_get(ir, slot);
}

/* Takes back the slot's latest SET, which nothing has seen. */
static void drop_set(struct ir *ir, unsigned slot)
{
    struct ir_ins *set = ir_at(ir, ir->slot[slot]);
    ir_ref before = set->prev;
    *set = (struct ir_ins){.op = IR_NOP, .type = IR_I64, .prev = IR_NOWHERE};
    bool first = !before || ir_at(ir, before)->op == IR_GET;
    ir->slot[slot] = first ? 0 : before;
    if (first)
        ir->set[slot / 64] &= ~(UINT64_C(1) << slot % 64);
    ir->value[slot] = first ? before : ir_at(ir, before)->b;
}

/* The value wants to be made where the slot lives. The first slot wins: it is usually the only one. In numbers, for branches would
 * be hard to predict: nothing comes of the hint of what is no instruction, or no result of the slot's class. */
static inline void hint_value(struct ir *ir, const struct ir_slot *home, ir_ref value)
{
    struct ir_ins *ins = ir_at(ir, value | IR_BASE);
    unsigned wanted = home->type == IR_F64 ? IR_RESULT_F : IR_RESULT_I;
    unsigned takes =
        !ir_is_constant(value) & !ins->hint & (ins->op != IR_GET) & (ir_ops[ins->op].result == wanted);
    ins->hint |= home->pin & -takes & 31u;
}

void ir_set(struct ir *ir, unsigned slot, ir_ref value)
{
    if (!ir->no_fold) {
        if (ir->value[slot] == value)
            return;
        if (ir->slot[slot] > ir->seen) {
            drop_set(ir, slot);
            if (ir->value[slot] == value)
                return;
        }
        hint_value(ir, &ir->machine->slots[slot], value);
    }
    push_set(ir, (enum ir_type)ir->machine->slots[slot].type, slot, value);
}

/* The distance is signed: a unit may follow a jump backwards. */
void ir_mark(struct ir *ir, uint64_t pc)
{
    uint64_t distance = pc - ir->pc;
    assert((uint64_t)(int32_t)distance == distance);
    ir->mark = (uint32_t)distance;
    ir->marked = true;
}

uint64_t ir_pc_of(const struct ir *ir, ir_ref ref)
{
    for (unsigned i = ref - IR_BASE + 1u; i-- > 0;)
        if (ir->ins[i].op == IR_PC)
            return ir->pc + (uint64_t)(int32_t)(ir->ins[i].a | (uint32_t)ir->ins[i].b << 16);
    return ir->pc;
}

static ir_ref add_exit(struct ir *ir, struct ir_exit exit)
{
    assert(ir->exit_count < IR_MAX_EXITS);
    ir->exits[ir->exit_count] = exit;
    return (ir_ref)ir->exit_count++;
}

/* One that is always taken stays a BR: what the caller makes after it is dead but well-formed. */
void ir_branch(struct ir *ir, ir_ref condition, struct ir_exit exit)
{
    if (!ir->no_fold && ir_is_constant(condition) && !ir_constant_value(ir, condition))
        return;
    append_seen(ir, IR_BR, IR_I64, add_exit(ir, exit), condition);
}

void ir_leave(struct ir *ir, struct ir_exit exit, ir_ref target)
{
    ir_close_spans(ir);
    append_seen(ir, IR_EXIT, IR_I64, add_exit(ir, exit), target);
}

void ir_poll(struct ir *ir, struct ir_exit exit)
{
    append_seen(ir, IR_POLL, IR_I64, add_exit(ir, exit), 0);
}

void ir_loop(struct ir *ir)
{
    ir_append(ir, IR_LOOP, IR_I64, 0, 0);
}
