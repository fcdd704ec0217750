/* isagen: prints rv_rows.h and rv_tables.inc. */
#include "isa/riscv/isagen.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* "fadd.d" -> "FADD_D" */
static const char *upper(const char *name, char text[NAME_SIZE])
{
    size_t i = 0;
    for (; name[i]; i++)
        text[i] = (char)(name[i] == '.' ? '_' : toupper((unsigned char)name[i]));
    text[i] = '\0';
    return text;
}

static void write_row_enum(const struct isa *isa, FILE *out)
{
    char name[NAME_SIZE];
    fprintf(out, "enum rv_op {\n    RV_INVALID = 0,\n");
    for (unsigned i = 0; i < isa->uncompressed; i++)
        fprintf(out, "    RV_%s,\n", upper(isa->row[i].name, name));
    fprintf(out, "    RV_OP_COUNT,\n");
    for (unsigned i = isa->uncompressed; i < isa->rows; i++)
        fprintf(out, "    RV_%s%s,\n", upper(isa->row[i].name, name),
                i == isa->uncompressed ? " = RV_OP_COUNT" : "");
    fprintf(out, "    RV_ROW_COUNT%s\n};\n\n", isa->uncompressed == isa->rows ? " = RV_OP_COUNT" : "");
}

static void write_row_list(const struct isa *isa, const char *macro, unsigned from, unsigned to, FILE *out)
{
    char name[NAME_SIZE], ext[NAME_SIZE];
    fprintf(out, "#define %s(X)", macro);
    for (unsigned i = from; i < to; i++)
        fprintf(out, " \\\n    X(%s, \"%s\", %s)", upper(isa->row[i].name, name), isa->row[i].name,
                upper(isa->extension[isa->row[i].ext], ext));
    fprintf(out, "\n\n");
}

void write_rows(const struct isa *isa, FILE *out)
{
    char name[NAME_SIZE];
    fprintf(out, "/* Made by isagen from riscv.isa. */\n#ifndef RV_ROWS_H\n#define RV_ROWS_H\n\n");
    write_row_enum(isa, out);
    fprintf(out, "enum rv_ext {\n");
    for (unsigned i = 0; i < isa->extensions; i++)
        fprintf(out, "    RV_EXT_%s,\n", upper(isa->extension[i], name));
    fprintf(out, "    RV_EXT_COUNT\n};\n\nenum rv_csr {\n");
    for (unsigned i = 0; i < isa->csrs; i++)
        fprintf(out, "    RV_CSR_%s = 0x%03x,\n", upper(isa->csr[i].name, name), isa->csr[i].number);
    fprintf(out, "};\n\n/* X(enumerator without RV_, name, extension's enumerator without RV_EXT_) */\n");
    write_row_list(isa, "RV_ROWS", 0, isa->uncompressed, out);
    write_row_list(isa, "RV_COMPRESSED_ROWS", isa->uncompressed, isa->rows, out);
    fprintf(out, "#endif\n");
}

/* ---- decode buckets ---- */

struct bucket {
    uint32_t mask, match; /* the bits that choose it */
    unsigned bits;
};

/* The inverse of rv_bucket(): tries all values of the bits that choose. Some numbers are of no word. */
static void find_buckets(const struct isa *isa, unsigned bits, uint32_t mask, struct bucket *buckets)
{
    uint32_t value = 0;
    do {
        struct bucket *bucket = &buckets[rv_bucket(value, bits == 32 ? UINT32_MAX : 0)];
        if (bits == 16 && (value & 3) == 3)
            continue;
        if (bucket->bits)
            fail(isa, 0, "0x%x and 0x%x share a bucket", bucket->match, value);
        *bucket = (struct bucket){mask, value, bits};
    } while ((value = (value - mask) & mask)); /* the next larger one within the mask */
}

/* Reserved values are kept out of a row by not listing it in the buckets that have them. */
static bool is_reserved(const struct isa *isa, const struct row *row, const struct bucket *bucket)
{
    for (unsigned i = 0; i < row->bindings; i++) {
        const struct field *field = row->binding[i].field;
        if (field->reserved && (field_bits(field) & ~bucket->mask))
            fail(isa, row->line, "reserved values of field %s do not choose a bucket", field->name);
        if (field->reserved >> (field->reserved ? field_value(field, bucket->match) : 0) & 1)
            return true;
    }
    return false;
}

static bool in_bucket(const struct isa *isa, const struct row *row, const struct bucket *bucket)
{
    return row->bits == bucket->bits && !((row->match ^ bucket->match) & row->mask & bucket->mask) &&
           !is_reserved(isa, row, bucket);
}

static unsigned depth(const struct row *row)
{
    unsigned levels = 0;
    for (; row->within; row = row->within)
        levels++;
    return levels;
}

static void write_pattern(const struct row *row, FILE *out)
{
    char name[NAME_SIZE], op[NAME_SIZE];
    fprintf(out, "    {0x%08x, 0x%08x, RV_%s, RV_%s, 0x%04x, %u},\n", row->mask, row->match,
            upper(row->op->name, op), upper(row->name, name), row->nonzero ? row->nonzero : UINT16_MAX,
            row->shape);
}

enum { MAX_DEPTH = 4, MAX_LIST = 128 };

/* The rows of a bucket; those that lie within others come first. */
struct list {
    const struct row *row[MAX_LIST];
    unsigned count;
    unsigned start; /* index in rv_patterns */
};

static void add_to_list(const struct isa *isa, struct list *list, const struct row *row)
{
    if (list->count == MAX_LIST)
        fail(isa, row->line, "more than %d rows in a bucket", MAX_LIST);
    list->row[list->count++] = row;
}

static void fill_list(const struct isa *isa, struct list *list, const struct bucket *bucket)
{
    *list = (struct list){0};
    for (unsigned level = MAX_DEPTH; level-- > 0;)
        for (unsigned i = 0; i < isa->rows; i++)
            if (depth(&isa->row[i]) == level && in_bucket(isa, &isa->row[i], bucket))
                add_to_list(isa, list, &isa->row[i]);
}

static bool is_same_list(const struct list *a, const struct list *b)
{
    return a->count == b->count && !memcmp(a->row, b->row, a->count * sizeof a->row[0]);
}

/* Returns how many patterns it wrote. */
static unsigned write_list(const struct list *list, FILE *out)
{
    for (unsigned i = 0; i < list->count; i++)
        write_pattern(list->row[i], out);
    fprintf(out, "    {0, 0, RV_INVALID, RV_INVALID, 0, 0},\n");
    return list->count + 1;
}

static void write_buckets(const struct isa *isa, FILE *out)
{
    static struct bucket buckets[RV_BUCKETS];
    struct list *lists = calloc(RV_BUCKETS, sizeof *lists);
    if (!lists)
        fail(isa, 0, "out of memory");
    find_buckets(isa, 16, RV_BUCKET_BITS16, buckets);
    find_buckets(isa, 32, RV_BUCKET_BITS32, buckets);
    unsigned next = 0;
    fprintf(out, "_Alignas(64) const struct rv_pattern rv_patterns[] = {\n");
    for (unsigned i = 0; i < RV_BUCKETS; i++) {
        unsigned same = 0;
        fill_list(isa, &lists[i], &buckets[i]);
        while (!is_same_list(&lists[same], &lists[i]))
            same++;
        lists[i].start = same < i ? lists[same].start : next;
        next += same < i ? 0 : write_list(&lists[i], out);
    }
    fprintf(out, "};\n\nconst uint16_t rv_buckets[RV_BUCKETS] = {");
    for (unsigned i = 0; i < RV_BUCKETS; i++)
        fprintf(out, "%s%u,", i % 16 ? " " : "\n    ", lists[i].start);
    fprintf(out, "\n};\n\n");
    free(lists);
}

/* ---- operands ---- */

static void write_shapes(const struct isa *isa, FILE *out)
{
    fprintf(out, "_Alignas(64) const struct rv_shape rv_shapes[] = {\n");
    for (unsigned i = 0; i < isa->shapes; i++) {
        const struct rv_shape *shape = &isa->shape[i];
        fprintf(out, "    {0x%" PRIx64 ", 0x%" PRIx64 ", {", shape->flip, shape->sign);
        for (unsigned j = 0; j < RV_PRODUCTS; j++)
            fprintf(out, "0x%" PRIx64 ", ", shape->by[j]);
        fprintf(out, "}, {");
        for (unsigned j = 0; j < RV_PRODUCTS; j++)
            fprintf(out, "0x%" PRIx64 ", ", shape->to[j]);
        fprintf(out, "}, {");
        for (unsigned j = 0; j < RV_PRODUCTS; j++)
            fprintf(out, "0x%x, ", shape->from[j]);
        fprintf(out, "}, 0x%x, %u},\n", shape->mask, shape->left);
    }
    fprintf(out, "};\n\n");
}

static void write_syntaxes(const struct isa *isa, FILE *out)
{
#define CLASS_NAME(name, text)             "RV_CLASS_" #name,
#define SLOT_NAME(name, text, lane, width) "RV_SLOT_" #name,
    static const char *const classes[] = {RV_CLASSES(CLASS_NAME)};
    static const char *const slots[] = {RV_SLOTS(SLOT_NAME)};
    fprintf(out, "const struct rv_syntax rv_syntaxes[] = {\n");
    for (unsigned i = 0; i < isa->syntaxes; i++) {
        const struct rv_syntax *syntax = &isa->syntax[i];
        fprintf(out, "    {%u, %u, {", syntax->suffixes, syntax->operands);
        for (unsigned j = 0; j < syntax->operands; j++) {
            const struct rv_operand *operand = &syntax->operand[j];
            fprintf(out, "{\"%s\", %s, %s, %d}, ", operand->before, classes[operand->class],
                    slots[operand->slot], operand->omit);
        }
        fprintf(out, "}, \"%s\"},\n", syntax->after);
    }
    fprintf(out, "};\n\n");
}

/* ---- rows ---- */

static bool writes_float(const struct row *row)
{
    for (unsigned i = 0; i < row->bindings; i++)
        if (row->binding[i].slot == RV_SLOT_RD && row->binding[i].field->class == RV_CLASS_FREG)
            return true;
    return false;
}

static void write_flags(unsigned flags, FILE *out)
{
    const char *separator = "";
    for (unsigned i = 0; i < FLAG_COUNT; i++)
        if (flags >> i & 1) {
            fprintf(out, "%s%s", separator, flag_names[i].enumerator);
            separator = " | ";
        }
    if (!flags)
        fprintf(out, "0");
}

static void write_row(const struct isa *isa, const struct row *row, FILE *out)
{
    char name[NAME_SIZE], op[NAME_SIZE], ext[NAME_SIZE];
    fprintf(out, "    [RV_%s] = {0x%08x, 0x%08x, \"%s\", RV_%s, %u, %u, ", upper(row->name, name), row->mask,
            row->match, row->name, upper(row->op->name, op), row->shape, row->syntax);
    write_flags(row->flags, out);
    if (writes_float(row))
        fprintf(out, " | RV_FRD");
    fprintf(out, ", RV_EXT_%s, %u},\n", upper(isa->extension[row->ext], ext), row->bits / 8);
}

void write_tables(const struct isa *isa, FILE *out)
{
    fprintf(out, "/* Made by isagen from riscv.isa. */\n\n");
    write_buckets(isa, out);
    write_shapes(isa, out);
    write_syntaxes(isa, out);
    fprintf(out, "const struct rv_row rv_rows[] = {\n    [RV_INVALID] = {.name = \"unknown\"},\n");
    for (unsigned i = 0; i < isa->rows; i++)
        write_row(isa, &isa->row[i], out);
    fprintf(out, "};\n\nconst char *const rv_ext_names[] = {\n");
    for (unsigned i = 0; i < isa->extensions; i++)
        fprintf(out, "    \"%s\",\n", isa->extension[i]);
    fprintf(out, "};\n\nconst struct rv_csr_name rv_csr_names[] = {\n");
    for (unsigned i = 0; i < isa->csrs; i++)
        fprintf(out, "    {0x%03x, \"%s\"},\n", isa->csr[i].number, isa->csr[i].name);
    fprintf(out, "};\nconst unsigned rv_csr_name_count = %u;\n", isa->csrs);
}
