/* The rules of folding, one function for a group of operations.
 *
 * A rule answers with the value that the instruction has already, with KEEP (make it), or with AGAIN after it has
 * rewritten the instruction into a simpler one. Every rewriting goes toward fewer or cheaper operations, so that it
 * ends.
 *
 * Sums are not regrouped: (x + 1) + 2 stays, for x + 3 would keep x alive in a second register beside the sum that
 * has taken its place in the guest's register. The same holds for other chains of operations with constants. Rules
 * that do reach for an operand's operand are for idioms whose intermediate result is nearly always dead. */
#include "jit/fold.h"

#include "base/util.h"

#include <assert.h>

enum { KEEP = 0, AGAIN = 0xffff };

static_assert(!(IR_EQ & 1) && IR_NE == IR_EQ + 1 && IR_GE == IR_LT + 1 && IR_GEU == IR_LTU + 1,
              "lowest bit negates");

static ir_ref become(struct fold *f, enum ir_op op, enum ir_type type, ir_ref a, ir_ref b)
{
    f->op = op;
    f->type = type;
    f->a = a;
    f->b = b;
    return AGAIN;
}

static ir_ref constant(struct fold *f, int64_t value)
{
    return ir_constant(f->ir, value);
}

static ir_ref become_with(struct fold *f, enum ir_op op, ir_ref a, int64_t b)
{
    return become(f, op, f->type, a, constant(f, b));
}

static bool is(const struct fold *f, ir_ref ref, int64_t value)
{
    return ir_is_constant(ref) && ir_constant_value(f->ir, ref) == value;
}

/* The instruction that made the value, when it is one of this operation; else NULL. */
static const struct ir_ins *made_by(const struct fold *f, ir_ref ref, enum ir_op op)
{
    if (ir_is_constant(ref))
        return NULL;
    const struct ir_ins *ins = ir_at(f->ir, ref);
    return ins->op == op ? ins : NULL;
}

/* The value before BOX, for who looks at the low half alone. */
static ir_ref unboxed(const struct fold *f, ir_ref ref)
{
    const struct ir_ins *box = made_by(f, ref, IR_BOX);
    return box ? box->a : ref;
}

static bool is_compare(unsigned op)
{
    return op >= IR_EQ && op <= IR_GEU;
}

static bool is_extension(unsigned op)
{
    return op >= IR_SEXT8 && op <= IR_ZEXT32;
}

static unsigned extension_bits(unsigned op)
{
    static const uint8_t bits[] = {8, 16, 32, 8, 16, 32};
    return bits[op - IR_SEXT8];
}

/* What is known of a value's size. */

static unsigned bit_length(uint64_t value)
{
    return value ? 64u - (unsigned)__builtin_clzll(value) : 0;
}

static unsigned unsigned_width(struct ir *ir, ir_ref ref, unsigned depth);

/* The low half is below 2^n. */
static unsigned unsigned_width_of_half(struct ir *ir, ir_ref ref)
{
    if (ir_is_constant(ref))
        return bit_length((uint32_t)ir_constant_value(ir, ref));
    const struct ir_ins *ins = ir_at(ir, ref);
    if (ins->type != IR_I32 || !ir_is_constant(ins->b))
        return 32;
    if (ins->op == IR_SHR)
        return 32 - ((unsigned)ir_constant_value(ir, ins->b) & 31);
    if (ins->op == IR_AND)
        return bit_length((uint32_t)ir_constant_value(ir, ins->b));
    return 32;
}

static unsigned larger(unsigned a, unsigned b)
{
    return a > b ? a : b;
}

static unsigned smaller(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

/* Operations that have meaning only for whole registers: the upper half of an i32 result is anything. */
static unsigned unsigned_width_of_whole(struct ir *ir, const struct ir_ins *ins, unsigned depth)
{
    if (ins->type != IR_I64 || !depth)
        return 64;
    unsigned a = unsigned_width(ir, ins->a, depth - 1);
    switch (ins->op) {
    case IR_AND: return smaller(a, unsigned_width(ir, ins->b, depth - 1));
    case IR_OR:
    case IR_XOR: return larger(a, unsigned_width(ir, ins->b, depth - 1));
    case IR_SHR: {
        unsigned count = ir_is_constant(ins->b) ? (unsigned)ir_constant_value(ir, ins->b) & 63 : 0;
        return a > count ? a - count : 0;
    }
    default: return 64;
    }
}

/* What an operation alone says of its result's size, as the number of upper bits that are known: a table, for this is asked of
 * every operand of a branch. ASK: operands have to be looked at. */
enum { ASK = 0xff };
static const uint8_t zero_bits[IR_OP_COUNT] = {
    [IR_EQ] = 63,      [IR_NE] = 63,    [IR_LT] = 63,   [IR_GE] = 63,    [IR_LTU] = 63,    [IR_GEU] = 63,
    [IR_FEQ] = 63,     [IR_FLT] = 63,   [IR_FLE] = 63,  [IR_CLZ] = 57,   [IR_CTZ] = 57,    [IR_POPCNT] = 57,
    [IR_UNBOXED] = 63, [IR_ZEXT8] = 56, [IR_LDU8] = 56, [IR_LDU32] = 32, [IR_ZEXT16] = 48, [IR_LDU16] = 48,
    [IR_ZEXT32] = ASK, [IR_AND] = ASK,  [IR_OR] = ASK,  [IR_XOR] = ASK,  [IR_SHR] = ASK,
};
/* Beside the sign; of operations that are not above. */
static const uint8_t sign_bits[IR_OP_COUNT] = {
    [IR_SEXT8] = 56, [IR_LDS8] = 56,   [IR_SEXT16] = 48,  [IR_LDS16] = 48,  [IR_SEXT32] = 32,
    [IR_LDS32] = 32, [IR_TRUNCW] = 32, [IR_TRUNCWU] = 32, [IR_ROUNDW] = 32, [IR_SAR] = ASK,
    [IR_AND] = ASK,  [IR_OR] = ASK,    [IR_XOR] = ASK,
};

/* The value is below 2^n. */
static unsigned unsigned_width(struct ir *ir, ir_ref ref, unsigned depth)
{
    if (ir_is_constant(ref))
        return bit_length((uint64_t)ir_constant_value(ir, ref));
    const struct ir_ins *ins = ir_at(ir, ref);
    unsigned known = zero_bits[ins->op];
    if (likely(known != ASK))
        return 64 - known;
    return ins->op == IR_ZEXT32 ? unsigned_width_of_half(ir, ins->a)
                                : unsigned_width_of_whole(ir, ins, depth);
}

static unsigned signed_width(struct ir *ir, ir_ref ref, unsigned depth);

static unsigned signed_width_of_operands(struct ir *ir, const struct ir_ins *ins, unsigned depth)
{
    if (ins->type != IR_I64)
        return 64;
    if (ins->op == IR_SAR)
        return ir_is_constant(ins->b) ? 64 - ((unsigned)ir_constant_value(ir, ins->b) & 63) : 64;
    return depth ? larger(signed_width(ir, ins->a, depth - 1), signed_width(ir, ins->b, depth - 1)) : 64;
}

/* The value is its low n bits, sign-extended. */
static unsigned signed_width(struct ir *ir, ir_ref ref, unsigned depth)
{
    if (ir_is_constant(ref)) {
        int64_t value = ir_constant_value(ir, ref);
        return bit_length((uint64_t)(value < 0 ? ~value : value)) + 1;
    }
    const struct ir_ins *ins = ir_at(ir, ref);
    unsigned width = zero_bits[ins->op] ? unsigned_width(ir, ref, depth) : 64;
    if (width < 64)
        return width + 1;
    unsigned known = sign_bits[ins->op];
    return likely(known != ASK) ? 64 - known : signed_width_of_operands(ir, ins, depth);
}

enum { DEPTH = 2 };

static unsigned unsigned_bits(const struct fold *f, ir_ref ref)
{
    return unsigned_width(f->ir, ref, DEPTH);
}

static unsigned signed_bits(const struct fold *f, ir_ref ref)
{
    return signed_width(f->ir, ref, DEPTH);
}

/* Arithmetic and logic */

/* n when the constant is 2^n in the instruction's type, else 64. */
static unsigned power_of_two(const struct fold *f, ir_ref ref)
{
    if (!ir_is_constant(ref))
        return 64;
    uint64_t value = (uint64_t)ir_constant_value(f->ir, ref);
    if (f->type == IR_I32)
        value = (uint32_t)value;
    return value && !(value & (value - 1)) ? (unsigned)__builtin_ctzll(value) : 64;
}

static ir_ref fold_sub(struct fold *f)
{
    if (f->a == f->b)
        return constant(f, 0);
    if (!ir_is_constant(f->b))
        return KEEP;
    return become_with(f, IR_ADD, f->a, (int64_t) - (uint64_t)ir_constant_value(f->ir, f->b));
}

static ir_ref fold_mul(struct fold *f)
{
    if (is(f, f->b, 0))
        return f->b;
    unsigned power = power_of_two(f, f->b);
    return power < 64 ? become_with(f, IR_SHL, f->a, power) : KEEP;
}

static ir_ref fold_and(struct fold *f)
{
    if (f->a == f->b)
        return f->a;
    if (!ir_is_constant(f->b))
        return KEEP;
    int64_t mask = ir_constant_value(f->ir, f->b);
    switch (mask) {
    case 0: return f->b;
    case -1: return f->a;
    case 0xff: return become(f, IR_ZEXT8, IR_I64, f->a, 0);
    case 0xffff: return become(f, IR_ZEXT16, IR_I64, f->a, 0);
    case 0xffffffff: return become(f, IR_ZEXT32, IR_I64, f->a, 0);
    default: break;
    }
    unsigned bits = unsigned_bits(f, f->a);
    return bits < 64 && !(~(uint64_t)mask & ((UINT64_C(1) << bits) - 1)) ? f->a : KEEP;
}

static ir_ref fold_or(struct fold *f)
{
    if (f->a == f->b || is(f, f->b, 0))
        return f->a;
    return is(f, f->b, -1) ? f->b : KEEP;
}

static ir_ref fold_xor(struct fold *f)
{
    if (f->a == f->b)
        return constant(f, 0);
    if (is(f, f->b, 0))
        return f->a;
    if (is(f, f->b, 1) && unsigned_bits(f, f->a) <= 1)
        return become(f, IR_EQ, IR_I64, f->a, constant(f, 0));
    return KEEP;
}

/* Left, then right: how code extends a value, and perhaps scales it in the same two steps. */
static ir_ref fold_shift_pair(struct fold *f)
{
    const struct ir_ins *inner = made_by(f, f->a, IR_SHL);
    if (f->type != IR_I64 || !inner || !ir_is_constant(inner->b))
        return KEEP;
    int64_t left = ir_constant_value(f->ir, inner->b), right = ir_constant_value(f->ir, f->b);
    bool sign = f->op == IR_SAR;
    enum ir_op extension;
    switch (left) {
    case 32: extension = sign ? IR_SEXT32 : IR_ZEXT32; break;
    case 48: extension = sign ? IR_SEXT16 : IR_ZEXT16; break;
    case 56: extension = sign ? IR_SEXT8 : IR_ZEXT8; break;
    default: return KEEP;
    }
    ir_ref value = ir_emit(f->ir, extension, IR_I64, inner->a, 0);
    if (left == right)
        return value;
    return right < left ? become_with(f, IR_SHL, value, left - right)
                        : become_with(f, f->op, value, right - left);
}

static ir_ref fold_shift(struct fold *f)
{
    if (is(f, f->a, 0) || is(f, f->b, 0))
        return f->a;
    if (!ir_is_constant(f->b) || f->op == IR_SHL || f->op == IR_ROR)
        return KEEP;
    if (f->op == IR_SHR && unsigned_bits(f, f->a) <= (uint64_t)ir_constant_value(f->ir, f->b))
        return constant(f, 0);
    return fold_shift_pair(f);
}

static ir_ref fold_div(struct fold *f)
{
    if (is(f, f->b, 1))
        return f->a;
    unsigned power = power_of_two(f, f->b);
    return f->op == IR_DIVU && power < 64 ? become_with(f, IR_SHR, f->a, power) : KEEP;
}

/* a - q * b where the quotient is there: true for the divisors 0 (q is all ones) and -1 as well. */
static ir_ref fold_rem_of_quotient(struct fold *f)
{
    ir_ref quotient = ir_find(f->ir, f->op == IR_REM ? IR_DIV : IR_DIVU, f->type, f->a, f->b);
    if (!quotient)
        return KEEP;
    return become(f, IR_SUB, f->type, f->a, ir_emit(f->ir, IR_MUL, f->type, quotient, f->b));
}

static ir_ref fold_rem(struct fold *f)
{
    if (is(f, f->b, 1))
        return constant(f, 0);
    unsigned power = power_of_two(f, f->b);
    if (f->op == IR_REM || power == 64)
        return fold_rem_of_quotient(f);
    return become_with(f, IR_AND, f->a, (int64_t)((UINT64_C(1) << power) - 1));
}

static ir_ref fold_high_product(struct fold *f)
{
    return is(f, f->a, 0) || is(f, f->b, 0) ? constant(f, 0) : KEEP;
}

/* Extensions */

static ir_ref fold_extension(struct fold *f)
{
    bool sign = f->op <= IR_SEXT32;
    unsigned bits = extension_bits(f->op);
    if ((sign ? signed_bits(f, f->a) : unsigned_bits(f, f->a)) <= bits)
        return f->a;
    const struct ir_ins *inner = ir_at(f->ir, f->a);
    if (is_extension(inner->op) && extension_bits(inner->op) >= bits)
        return become(f, f->op, IR_I64, inner->a, 0);
    if (f->op == IR_SEXT32 && unsigned_width_of_half(f->ir, f->a) < 32)
        return become(f, IR_ZEXT32, IR_I64, f->a, 0); /* which a host's 32-bit operation does by itself */
    if (inner->op == IR_BITS) {
        ir_ref low = unboxed(f, inner->a);
        const struct ir_ins *from = made_by(f, low, IR_FROMBITS);
        if (from)
            return become(f, f->op, IR_I64, from->a, 0);
        if (low != inner->a)
            return become(f, f->op, IR_I64, ir_emit(f->ir, IR_BITS, IR_I64, low, 0), 0);
    }
    return KEEP;
}

/* Comparisons */

static int64_t signed_limit(const struct fold *f)
{
    return f->type == IR_I32 ? INT32_MAX : INT64_MAX;
}

/* c < x is x >= c + 1, unless there is no such number. */
static ir_ref fold_constant_left(struct fold *f)
{
    int64_t value = ir_constant_value(f->ir, f->a);
    int64_t limit = f->op >= IR_LTU ? -1 : signed_limit(f);
    if (value == limit)
        return constant(f, f->op & 1);
    return become_with(f, f->op ^ 1, f->b, (int64_t)((uint64_t)value + 1));
}

static ir_ref fold_constant_right(struct fold *f)
{
    int64_t value = ir_constant_value(f->ir, f->b);
    if (f->op == IR_LT || f->op == IR_GE)
        return value == -signed_limit(f) - 1 ? constant(f, f->op & 1) : KEEP;
    if (f->op != IR_LTU && f->op != IR_GEU)
        return KEEP;
    if (value == 0)
        return constant(f, f->op & 1);
    return value == 1 ? become_with(f, f->op == IR_LTU ? IR_EQ : IR_NE, f->a, 0) : KEEP;
}

/* Equal to 0 or 1, where the value is 0 or 1. */
static ir_ref fold_truth(struct fold *f)
{
    if (!(is(f, f->b, 0) || is(f, f->b, 1)) || unsigned_bits(f, f->a) > 1)
        return KEEP;
    bool same = (f->op == IR_EQ) == is(f, f->b, 1);
    if (same)
        return f->a;
    const struct ir_ins *inner = ir_at(f->ir, f->a);
    if (is_compare(inner->op))
        return become(f, inner->op ^ 1, (enum ir_type)inner->type, inner->a, inner->b);
    return f->op == IR_NE ? become_with(f, IR_EQ, f->a, 0) : KEEP;
}

/* A difference that is compared with 0, perhaps after its extension. */
static ir_ref fold_difference(struct fold *f)
{
    const struct ir_ins *inner = ir_at(f->ir, f->a);
    if (f->type == IR_I32 && (inner->op == IR_SEXT32 || inner->op == IR_ZEXT32) && !ir_is_constant(inner->a))
        inner = ir_at(f->ir, inner->a);
    if (!is(f, f->b, 0) || (inner->op != IR_SUB && inner->op != IR_XOR) || inner->type != f->type)
        return KEEP;
    return become(f, f->op, f->type, inner->a, inner->b);
}

/* Both operands were extended from 32 bits in the same way: the low halves tell. Sign extension keeps unsigned order.
 */
static ir_ref fold_narrow(struct fold *f)
{
    enum { HALF = 32 };
    if (f->type != IR_I64)
        return KEEP;
    unsigned a = signed_bits(f, f->a);
    if (a > HALF + 1) /* nor is it below 2^32 */
        return KEEP;
    if (a <= HALF && signed_bits(f, f->b) <= HALF)
        return become(f, f->op, IR_I32, f->a, f->b);
    if (unsigned_bits(f, f->a) > HALF || unsigned_bits(f, f->b) > HALF)
        return KEEP;
    bool order = f->op == IR_LT || f->op == IR_GE;
    return become(f, order ? f->op + (IR_LTU - IR_LT) : f->op, IR_I32, f->a, f->b);
}

static ir_ref fold_compare(struct fold *f)
{
    if (f->a == f->b)
        return constant(f, f->op == IR_EQ || f->op == IR_GE || f->op == IR_GEU);
    if (ir_is_constant(f->a))
        return fold_constant_left(f);
    ir_ref result = KEEP;
    if (ir_is_constant(f->b))
        result = fold_constant_right(f);
    if (result == KEEP && (f->op == IR_EQ || f->op == IR_NE)) {
        result = fold_truth(f);
        if (result == KEEP)
            result = fold_difference(f);
    }
    return result != KEEP ? result : fold_narrow(f);
}

static ir_ref fold_select(struct fold *f)
{
    const struct ir_ins *pair = ir_at(f->ir, f->b);
    if (ir_is_constant(f->a))
        return ir_constant_value(f->ir, f->a) ? pair->a : pair->b;
    if (pair->a == pair->b)
        return pair->a;
    if (is(f, pair->a, 1) && is(f, pair->b, 0) && unsigned_bits(f, f->a) <= 1)
        return f->a;
    return KEEP;
}

/* Floating point: nothing is computed here, since rounding and flags belong to the run. */

static ir_ref fold_canon(struct fold *f)
{
    const struct ir_ins *inner = ir_at(f->ir, f->a);
    if (inner->type != f->type)
        return KEEP;
    switch (inner->op) {
    case IR_CANON: return f->a;
    case IR_FMIN:
    case IR_FMAX:
    case IR_FROMW:
    case IR_FROMWU:
    case IR_FROML:
    case IR_FROMLU: return f->type == IR_F32 ? become(f, IR_BOX, IR_F32, f->a, 0) : f->a;
    default: return KEEP;
    }
}

static bool is_boxed(const struct fold *f, ir_ref ref)
{
    const struct ir_ins *ins = ir_at(f->ir, ref);
    return ins->op == IR_BOX || (ins->op == IR_CANON && ins->type == IR_F32);
}

static ir_ref fold_bits(struct fold *f)
{
    const struct ir_ins *inner = made_by(f, f->a, IR_FROMBITS);
    return inner && inner->type == IR_F64 ? inner->a : KEEP;
}

static ir_ref fold_from_bits(struct fold *f)
{
    const struct ir_ins *inner = made_by(f, f->a, IR_BITS);
    if (!inner)
        return KEEP;
    return f->type == IR_F32 ? unboxed(f, inner->a) : inner->a;
}

/* Brings constants into the form that rules and back end expect: sign-extended in operations of 32 bits, counts of
 * shifts below the width. */
static ir_ref normal(struct fold *f, ir_ref ref, bool count)
{
    if (!ir_is_constant(ref))
        return ref;
    int64_t value = ir_constant_value(f->ir, ref), normal;
    if (count)
        normal = value & (f->type == IR_I32 ? 31 : 63);
    else
        normal = f->type == IR_I32 ? (int32_t)value : value;
    return normal == value ? ref : constant(f, normal);
}

/* Puts constants, and of two values the older one, to the right where that is free, so that equal operations look
 * equal. */
static void order_operands(struct fold *f)
{
    if (!(ir_ops[f->op].flags & IR_SWAP) || f->a >= f->b)
        return;
    ir_ref older = f->a;
    f->a = f->b;
    f->b = older;
}

/* The first operand is a constant, the second one too or there is none. */
static ir_ref evaluate(struct fold *f, bool binary)
{
    int64_t result, b = binary ? ir_constant_value(f->ir, f->b) : 0;
    bool can = ir_evaluate(f->op, f->type, ir_constant_value(f->ir, f->a), b, &result);
    return can ? constant(f, result) : KEEP;
}

/* Computes what has only constants; else puts operands into their form. */
static ir_ref fold_operands(struct fold *f)
{
    bool binary = ir_ops[f->op].b == IR_KIND_R;
    if (unlikely(ir_is_constant(f->a)) && !is_extension(f->op))
        f->a = normal(f, f->a, false);
    if (binary && ir_is_constant(f->b))
        f->b = normal(f, f->b, f->op >= IR_SHL && f->op <= IR_ROR);
    if (unlikely(ir_is_constant(f->a)) && (!binary || ir_is_constant(f->b))) {
        ir_ref result = evaluate(f, binary);
        if (result != KEEP)
            return result;
    }
    order_operands(f);
    return KEEP;
}

static ir_ref fold_integer(struct fold *f)
{
    ir_ref result = fold_operands(f);
    if (result != KEEP)
        return result;
    switch (f->op) {
    case IR_ADD: return is(f, f->b, 0) ? f->a : KEEP;
    case IR_SUB: return fold_sub(f);
    case IR_MUL: return fold_mul(f);
    case IR_AND: return fold_and(f);
    case IR_OR: return fold_or(f);
    case IR_XOR: return fold_xor(f);
    case IR_SHL:
    case IR_SHR:
    case IR_SAR:
    case IR_ROR: return fold_shift(f);
    case IR_MULH:
    case IR_MULHU:
    case IR_MULHSU: return fold_high_product(f);
    case IR_DIV:
    case IR_DIVU: return fold_div(f);
    case IR_REM:
    case IR_REMU: return fold_rem(f);
    default: break;
    }
    if (is_extension(f->op))
        return fold_extension(f);
    return is_compare(f->op) ? fold_compare(f) : KEEP;
}

static ir_ref fold_other(struct fold *f)
{
    order_operands(f);
    switch (f->op) {
    case IR_SELECT: return fold_select(f);
    case IR_CANON: return fold_canon(f);
    case IR_BOX: return is_boxed(f, f->a) ? f->a : KEEP;
    case IR_FSGNJ: return f->a == f->b ? f->a : KEEP;
    case IR_UNBOXED: return is_boxed(f, f->a) ? constant(f, 0) : KEEP;
    case IR_BITS: return fold_bits(f);
    case IR_FROMBITS: return fold_from_bits(f);
    default: return KEEP;
    }
}

ir_ref fold(struct fold *want)
{
    ir_ref result;
    do
        result = want->op >= IR_ADD && want->op <= IR_GEU ? fold_integer(want) : fold_other(want);
    while (result == AGAIN);
    return result;
}
