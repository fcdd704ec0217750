/* isagen: what lines say about each other. Resolves names, binds operands to slots, finds overlaps, makes shapes. */
#include "isa/riscv/isagen.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

static struct row *find_row(struct isa *isa, const char *name)
{
    for (unsigned i = 0; i < isa->rows; i++)
        if (!strcmp(isa->row[i].name, name))
            return &isa->row[i];
    return NULL;
}

/* Uncompressed rows first, each kind in the order of the text. */
static void sort_rows(struct isa *isa)
{
    struct row *sorted = calloc(isa->rows + 1, sizeof *sorted);
    if (!sorted)
        fail(isa, 0, "out of memory");
    unsigned count = 0;
    for (unsigned bits = 32; bits >= 16; bits -= 16) {
        for (unsigned i = 0; i < isa->rows; i++)
            if (isa->row[i].bits == bits)
                sorted[count++] = isa->row[i];
        if (bits == 32)
            isa->uncompressed = count;
    }
    memcpy(isa->row, sorted, isa->rows * sizeof *sorted);
    free(sorted);
}

static void resolve_within(struct isa *isa, struct row *row)
{
    if (find_row(isa, row->name) != row)
        fail(isa, row->line, "%s is described twice", row->name);
    if (!row->within_name[0])
        return;
    row->within = find_row(isa, row->within_name);
    if (!row->within || row->within == row)
        fail(isa, row->line, "there is no other instruction '%s'", row->within_name);
    const struct row *outer = row->within;
    if (outer->bits != row->bits || (row->mask & outer->mask) != outer->mask ||
        ((row->match ^ outer->match) & outer->mask))
        fail(isa, row->line, "%s does not lie within %s", row->name, outer->name);
}

static bool is_within(const struct row *row, const struct row *outer)
{
    for (; row; row = row->within)
        if (row == outer)
            return true;
    return false;
}

static void check_overlaps(const struct isa *isa, const struct row *row)
{
    for (const struct row *other = isa->row; other < row; other++) {
        bool overlap = row->bits == other->bits && !((row->match ^ other->match) & row->mask & other->mask);
        if (overlap && !is_within(row, other) && !is_within(other, row))
            fail(isa, row->line, "%s overlaps %s (line %u)", row->name, other->name, other->line);
    }
}

static void bind(const struct isa *isa, struct row *row, const struct field *field, enum rv_slot slot)
{
    if (field->width + field->shift > slot_width[slot])
        fail(isa, row->line, "field %s does not fit the operand", field->name);
    for (unsigned i = 0; i < row->bindings; i++)
        if (row->binding[i].slot == slot)
            fail(isa, row->line, "%s and %s go to the same place", row->binding[i].field->name, field->name);
    if (row->bindings == MAX_BINDINGS)
        fail(isa, row->line, "more than %d operands", MAX_BINDINGS);
    row->binding[row->bindings++] = (struct binding){field, slot};
}

static bool is_bound(const struct row *row, const struct field *field)
{
    for (unsigned i = 0; i < row->bindings; i++)
        if (row->binding[i].field == field)
            return true;
    return false;
}

static bool in_format(const struct format *format, const struct field *field)
{
    for (unsigned i = 0; i < format->parts; i++)
        if (format->part[i].field == field)
            return true;
    for (unsigned i = 0; i < format->hiddens; i++)
        if (format->hidden[i] == field)
            return true;
    return false;
}

/* An operand of an expansion: a field of the compressed row, a register, or a number. */
static void bind_word(const struct isa *isa, struct row *row, const char *word, const struct field *target)
{
    const struct field *field = isa_field(isa, word);
    if (field) {
        if (!in_format(row->format, field))
            fail(isa, row->line, "field %s is not in format %s", word, row->format->name);
        bind(isa, row, field, target->slot);
        return;
    }
    char *end;
    long number = isa_register(word);
    if (number < 0)
        number = strtol(word, &end, 0);
    if (isa_register(word) < 0 && (end == word || *end))
        fail(isa, row->line, "'%s' is neither a field nor a register nor a number", word);
    uint64_t lane = UINT64_MAX >> (64 - slot_width[target->slot]);
    row->fixed |= ((uint64_t)number & lane) << slot_lane[target->slot];
}

/* Cuts the next operand out of an expansion's text into `word` and appends what comes before it to `skeleton`. */
static bool next_operand(const char **text, char *word, char *skeleton)
{
    while (**text && !isalnum((unsigned char)**text) && **text != '-') {
        if (**text != ' ')
            strncat(skeleton, *text, 1);
        ++*text;
    }
    size_t length = 0;
    for (; isalnum((unsigned char)**text) || **text == '_' || **text == '-'; ++*text)
        if (length < NAME_SIZE - 1)
            word[length++] = **text;
    word[length] = '\0';
    if (length)
        strcat(skeleton, "@");
    return length > 0;
}

static void format_skeleton(const struct format *format, char *skeleton)
{
    for (unsigned i = format->suffixes; i < format->parts; i++) {
        strcat(skeleton, format->part[i].before);
        strcat(skeleton, "@");
    }
    strcat(skeleton, format->after);
}

static void bind_expansion(struct isa *isa, struct row *row)
{
    char word[NAME_SIZE], wanted[128] = "", found[128] = "";
    const char *text = row->expansion;
    size_t length = strcspn(text, " ");
    snprintf(word, sizeof word, "%.*s", (int)length, text);
    text += length;
    row->op = find_row(isa, word);
    if (!row->op || row->op->bits != 32)
        fail(isa, row->line, "there is no instruction '%s' to expand to", word);
    row->flags |= row->op->flags;

    const struct format *format = row->op->format;
    unsigned part = format->suffixes;
    for (; strlen(found) < sizeof found / 2 && next_operand(&text, word, found); part++)
        if (part < format->parts)
            bind_word(isa, row, word, format->part[part].field);
    format_skeleton(format, wanted);
    if (strcmp(wanted, found))
        fail(isa, row->line, "the operands of %s are written as in format %s", row->op->name, format->name);
}

/* The decoder looks no further when a row's nonzero field is zero: no other row may have that word. */
static void check_reserved(const struct isa *isa, const struct row *row)
{
    uint32_t zero = (row->mask & ~row->match) | row->nonzero;
    for (const struct row *outer = row->within; row->nonzero && outer; outer = outer->within)
        if (!outer->nonzero || outer->nonzero & ~zero)
            fail(isa, row->line, "what %s reserves is not reserved by %s", row->name, outer->name);
    if (!row->match && !row->nonzero)
        fail(isa, row->line, "the word 0 is no instruction");
    if (row->nonzero > UINT16_MAX)
        fail(isa, row->line, "only the low 16 bits may be nonzero");
}

static void bind_field(struct isa *isa, struct row *row, const struct field *field)
{
    if (!is_bound(row, field))
        bind(isa, row, field, field->slot);
    if (field->nonzero) {
        if (row->nonzero)
            fail(isa, row->line, "only one field may be nonzero");
        row->nonzero = field_bits(field);
    }
}

static void bind_row(struct isa *isa, struct row *row)
{
    row->op = row;
    if (row->expansion[0])
        bind_expansion(isa, row);
    for (unsigned i = 0; i < row->format->parts; i++)
        bind_field(isa, row, row->format->part[i].field);
    for (unsigned i = 0; i < row->format->hiddens; i++)
        bind_field(isa, row, row->format->hidden[i]);

    uint32_t covered = row->mask;
    for (unsigned i = 0; i < row->bindings; i++) {
        uint32_t bits = field_bits(row->binding[i].field);
        if (row->bits == 16 && bits > UINT16_MAX)
            fail(isa, row->line, "field %s reaches beyond 16 bits", row->binding[i].field->name);
        covered |= bits;
    }
    if (covered != (row->bits == 32 ? UINT32_MAX : UINT16_MAX))
        fail(isa, row->line, "no field of format %s covers bits 0x%x", row->format->name, ~covered);
}

/* Bits of the word, and where they go. */
struct piece {
    unsigned low, width, lane;
};

enum { MAX_PIECES = MAX_BINDINGS * MAX_SLICES };

/* True when each wanted bit of the product is a copy of one bit, which nothing is added to or carried into. */
static bool is_clean(uint32_t from, uint64_t by, uint64_t to)
{
    unsigned carry = 0;
    for (unsigned at = 0; at < 64; at++) {
        unsigned most = carry;
        for (unsigned bit = 0; bit < 32 && bit <= at; bit++)
            most += from >> bit & by >> (at - bit) & 1;
        if (to >> at & 1 && most != 1)
            return false;
        carry = most / 2;
    }
    return true;
}

static bool add_to_product(struct rv_shape *shape, const struct piece *piece, unsigned i)
{
    unsigned at = (piece->lane - (i == 0 ? RV_PRODUCT_LEFT : 0)) & 63;
    if (at < piece->low || at + piece->width > 64)
        return false;
    shape->from[i] |= (UINT32_MAX >> (32 - piece->width)) << piece->low;
    shape->by[i] |= 1ull << (at - piece->low);
    shape->to[i] |= (UINT64_MAX >> (64 - piece->width)) << at;
    return is_clean(shape->from[i], shape->by[i], shape->to[i]);
}

static bool add_to_rotated(struct rv_shape *shape, const struct piece *piece)
{
    unsigned left = (piece->lane - piece->low) & 63;
    if (shape->mask && shape->left != left)
        return false;
    shape->mask |= (UINT32_MAX >> (32 - piece->width)) << piece->low;
    shape->left = left;
    return true;
}

/* Tries all ways: they are few, and most end early. */
static bool place(struct rv_shape *shape, const struct piece *piece, unsigned count)
{
    if (!count)
        return true;
    for (unsigned i = 0; i <= RV_PRODUCTS; i++) {
        struct rv_shape tried = *shape;
        bool added = i < RV_PRODUCTS ? add_to_product(&tried, piece, i) : add_to_rotated(&tried, piece);
        if (added && place(&tried, piece + 1, count - 1)) {
            *shape = tried;
            return true;
        }
    }
    return false;
}

/* Returns how many pieces it added. */
static unsigned add_binding(struct rv_shape *shape, const struct binding *binding, struct piece *piece)
{
    const struct field *field = binding->field;
    unsigned lane = slot_lane[binding->slot];
    unsigned to = lane + field->shift + field->width;
    for (unsigned i = 0; i < field->slices; i++) {
        unsigned low = field->slice[i].low, width = field->slice[i].high - low + 1;
        to -= width;
        piece[i] = (struct piece){low, width, to};
    }
    shape->flip |= (uint64_t)field->bias << lane;
    if (field->is_signed)
        shape->sign = 1ull << (lane + field->shift + field->width - 1);
    return field->slices;
}

/* Some slots share a lane. */
static void check_lanes(const struct isa *isa, const struct row *row)
{
    uint64_t taken = 0;
    unsigned slots = 0;
    for (unsigned i = 0; i < row->bindings; i++) {
        enum rv_slot slot = row->binding[i].slot;
        uint64_t lane = UINT64_MAX >> (64 - slot_width[slot]) << slot_lane[slot];
        if (!(slots >> slot & 1) && taken & lane)
            fail(isa, row->line, "operands of %s share a lane", row->name);
        taken |= lane;
        slots |= 1u << slot;
    }
}

static void make_shape(struct isa *isa, struct row *row)
{
    check_lanes(isa, row);
    struct piece pieces[MAX_PIECES];
    unsigned count = 0;
    struct rv_shape *shape = &isa->shape[isa->shapes];
    memset(shape, 0, sizeof *shape);
    shape->flip = row->fixed;
    for (unsigned i = 0; i < row->bindings; i++)
        count += add_binding(shape, &row->binding[i], &pieces[count]);
    shape->flip |= shape->sign;
    if (!place(shape, pieces, count))
        fail(isa, row->line, "there is no way to gather the operands of %s", row->name);
    unsigned same = 0;
    while (memcmp(&isa->shape[same], shape, sizeof *shape))
        same++;
    row->shape = same;
    if (same == isa->shapes)
        isa->shapes++;
}

static enum rv_slot bound_slot(const struct row *row, const struct field *field)
{
    unsigned i = 0;
    while (row->binding[i].field != field)
        i++;
    return row->binding[i].slot;
}

static void make_syntax(struct isa *isa, struct row *row)
{
    const struct format *format = row->format;
    struct rv_syntax *syntax = &isa->syntax[isa->syntaxes];
    memset(syntax, 0, sizeof *syntax);
    syntax->suffixes = (uint8_t)format->suffixes;
    syntax->operands = (uint8_t)format->parts;
    strcpy(syntax->after, format->after);
    for (unsigned i = 0; i < format->parts; i++) {
        const struct part *part = &format->part[i];
        struct rv_operand *operand = &syntax->operand[i];
        strcpy(operand->before, part->before);
        operand->class = (uint8_t)part->field->class;
        operand->slot = (uint8_t)bound_slot(row, part->field);
        operand->omit = (int8_t)(part->optional ? part->field->omit : RV_NO_OMIT);
    }
    unsigned same = 0;
    while (memcmp(&isa->syntax[same], syntax, sizeof *syntax))
        same++;
    row->syntax = same;
    if (same == isa->syntaxes)
        isa->syntaxes++;
}

static int compare_csrs(const void *left, const void *right)
{
    const struct csr *a = left, *b = right;
    return (a->number > b->number) - (a->number < b->number);
}

void isa_check(struct isa *isa)
{
    isa->shapes = 1; /* the first gathers nothing: words that are no instruction */
    sort_rows(isa);
    for (unsigned i = 0; i < isa->rows; i++)
        resolve_within(isa, &isa->row[i]);
    for (unsigned i = 0; i < isa->rows; i++) {
        check_overlaps(isa, &isa->row[i]);
        bind_row(isa, &isa->row[i]);
        make_shape(isa, &isa->row[i]);
        make_syntax(isa, &isa->row[i]);
    }
    for (unsigned i = 0; i < isa->rows; i++)
        check_reserved(isa, &isa->row[i]);
    qsort(isa->csr, isa->csrs, sizeof isa->csr[0], compare_csrs);
}
