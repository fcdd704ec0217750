/* isagen: reads riscv.isa line by line. */
#include "isa/riscv/isagen.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define SLOT_LANE(name, text, lane, width)  (lane),
#define SLOT_WIDTH(name, text, lane, width) (width),
#define SLOT_TEXT(name, text, lane, width)  (text),
#define CLASS_TEXT(name, text)              (text),

const unsigned slot_lane[RV_SLOT_COUNT] = {RV_SLOTS(SLOT_LANE)};
const unsigned slot_width[RV_SLOT_COUNT] = {RV_SLOTS(SLOT_WIDTH)};
static const char *const slot_names[RV_SLOT_COUNT] = {RV_SLOTS(SLOT_TEXT)};
static const char *const class_names[RV_CLASS_COUNT] = {RV_CLASSES(CLASS_TEXT)};

const struct flag_name flag_names[FLAG_COUNT] = {
    {"branch", "RV_BRANCH"}, {"jump", "RV_JUMP"}, {"load", "RV_LOAD"}, {"store", "RV_STORE"},
    {"trap", "RV_TRAP"},     {"end", "RV_END"},   {"fp", "RV_FP"},
};

/* Words that a syntax may hold besides fields. */
static const char *const register_names[32] = {
    "zero", "ra", "sp", "gp", "tp", "t0", "t1", "t2", "s0", "s1", "a0",  "a1",  "a2", "a3", "a4", "a5",
    "a6",   "a7", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9", "s10", "s11", "t3", "t4", "t5", "t6",
};
static const char *const other_words[] = {"rtz"};

int isa_register(const char *name)
{
    for (int i = 0; i < 32; i++)
        if (!strcmp(register_names[i], name))
            return i;
    return -1;
}

static bool is_word_known(const char *word)
{
    for (size_t i = 0; i < sizeof other_words / sizeof other_words[0]; i++)
        if (!strcmp(other_words[i], word))
            return true;
    return isa_register(word) >= 0;
}

const struct field *isa_field(const struct isa *isa, const char *name)
{
    for (unsigned i = 0; i < isa->fields; i++)
        if (!strcmp(isa->field[i].name, name))
            return &isa->field[i];
    return NULL;
}

uint32_t field_bits(const struct field *field)
{
    uint32_t bits = 0;
    for (unsigned i = 0; i < field->slices; i++)
        bits |= (UINT32_MAX >> (31 - field->slice[i].high)) & (UINT32_MAX << field->slice[i].low);
    return bits;
}

uint32_t field_value(const struct field *field, uint32_t word)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < field->slices; i++) {
        unsigned width = field->slice[i].high - field->slice[i].low + 1;
        value = value << width | (word >> field->slice[i].low & (UINT32_MAX >> (32 - width)));
    }
    return (uint32_t)value << field->shift;
}

/* The next blank-separated word of *text, cut off in place; NULL at the end. */
static char *next_word(char **text)
{
    char *start = *text + strspn(*text, " \t");
    if (!*start)
        return NULL;
    char *end = start + strcspn(start, " \t");
    *text = *end ? end + 1 : end;
    *end = '\0';
    return start;
}

static char *need_word(const struct isa *isa, char **text, const char *what)
{
    char *word = next_word(text);
    if (!word)
        fail(isa, isa->line, "%s is missing", what);
    return word;
}

static void copy_name(const struct isa *isa, char *name, const char *word)
{
    if (strlen(word) >= NAME_SIZE)
        fail(isa, isa->line, "the name '%s' is longer than %d characters", word, NAME_SIZE - 1);
    strcpy(name, word);
}

static unsigned to_number(const struct isa *isa, const char *word, unsigned limit)
{
    char *end;
    unsigned long value = strtoul(word, &end, 0);
    if (!isdigit((unsigned char)*word) || *end || value >= limit)
        fail(isa, isa->line, "'%s' is not a number below %u", word, limit);
    return (unsigned)value;
}

static unsigned find_text(const struct isa *isa, const char *const *list, unsigned count, const char *word,
                          const char *what)
{
    for (unsigned i = 0; i < count; i++)
        if (!strcmp(list[i], word))
            return i;
    fail(isa, isa->line, "'%s' is not a %s", word, what);
}

static void read_extension(struct isa *isa, char *text)
{
    if (isa->extensions == MAX_EXTENSIONS)
        fail(isa, isa->line, "more than %d extensions", MAX_EXTENSIONS);
    copy_name(isa, isa->extension[isa->extensions++], need_word(isa, &text, "the extension's name"));
}

static void add_csr(struct isa *isa, const char *name, unsigned number)
{
    if (isa->csrs == MAX_CSRS)
        fail(isa, isa->line, "more than %d registers", MAX_CSRS);
    for (unsigned i = 0; i < isa->csrs; i++)
        if (isa->csr[i].number == number || !strcmp(isa->csr[i].name, name))
            fail(isa, isa->line, "register %s (0x%03x) is declared twice", name, number);
    struct csr *csr = &isa->csr[isa->csrs++];
    copy_name(isa, csr->name, name);
    csr->number = number;
}

/* "fflags" or, for a row of registers, "hpmcounter3..31". */
static void read_csr(struct isa *isa, char *text)
{
    char *name = need_word(isa, &text, "the register's name");
    unsigned number = to_number(isa, need_word(isa, &text, "the register's number"), 4096);
    char *dots = strstr(name, "..");
    if (!dots) {
        add_csr(isa, name, number);
        return;
    }
    *dots = '\0';
    char *digits = dots;
    while (digits > name && isdigit((unsigned char)digits[-1]))
        digits--;
    unsigned first = to_number(isa, digits, 4096), last = to_number(isa, dots + 2, 4096);
    *digits = '\0';
    for (unsigned i = first; i <= last; i++) {
        char numbered[2 * NAME_SIZE];
        snprintf(numbered, sizeof numbered, "%s%u", name, i);
        add_csr(isa, numbered, number + i - first);
    }
}

static void add_slice(const struct isa *isa, struct field *field, char *word)
{
    if (field->slices == MAX_SLICES)
        fail(isa, isa->line, "more than %d slices", MAX_SLICES);
    struct slice *slice = &field->slice[field->slices++];
    char *colon = strchr(word, ':');
    if (colon)
        *colon = '\0';
    slice->high = to_number(isa, word, 32);
    slice->low = colon ? to_number(isa, colon + 1, 32) : slice->high;
    if (slice->low > slice->high)
        fail(isa, isa->line, "a slice is written high:low");
    field->width += slice->high - slice->low + 1;
}

static void check_field(const struct isa *isa, const struct field *field)
{
    unsigned covered = (unsigned)__builtin_popcount(field_bits(field));
    if (!field->slices)
        fail(isa, isa->line, "field %s has no bits", field->name);
    if (covered != field->width)
        fail(isa, isa->line, "the slices of field %s overlap", field->name);
    if (field->width + field->shift > slot_width[field->slot])
        fail(isa, isa->line, "field %s does not fit %s", field->name, slot_names[field->slot]);
    if (field->is_signed && field->slot != RV_SLOT_IMM)
        fail(isa, isa->line, "signed field %s is not in imm", field->name);
    if (field->bias & ((1u << field->width) - 1) << field->shift)
        fail(isa, isa->line, "what is added to field %s overlaps its bits", field->name);
    if (field->reserved && field->width > 5)
        fail(isa, isa->line, "field %s is too wide for 'not'", field->name);
}

static void read_field(struct isa *isa, char *text)
{
    if (isa->fields == MAX_FIELDS)
        fail(isa, isa->line, "more than %d fields", MAX_FIELDS);
    struct field *field = &isa->field[isa->fields];
    *field = (struct field){.omit = RV_NO_OMIT};
    char *name = need_word(isa, &text, "the field's name");
    if (isa_field(isa, name) || is_word_known(name))
        fail(isa, isa->line, "'%s' is declared twice", name);
    copy_name(isa, field->name, name);
    field->class = (enum rv_class)find_text(isa, class_names, RV_CLASS_COUNT,
                                            need_word(isa, &text, "the class"), "class");
    field->slot =
        (enum rv_slot)find_text(isa, slot_names, RV_SLOT_COUNT, need_word(isa, &text, "the slot"), "slot");

    bool in_not = false;
    for (char *word; (word = next_word(&text));) {
        bool is_number = isdigit((unsigned char)*word);
        if (is_number && in_not)
            field->reserved |= 1u << to_number(isa, word, 32);
        else if (is_number)
            add_slice(isa, field, word);
        else if (!strcmp(word, "<<"))
            field->shift = to_number(isa, need_word(isa, &text, "the shift"), 32);
        else if (!strcmp(word, "+"))
            field->bias = to_number(isa, need_word(isa, &text, "what to add"), 256);
        else if (!strcmp(word, "default"))
            field->omit = (int)to_number(isa, need_word(isa, &text, "the default"), 128);
        else if (!strcmp(word, "signed"))
            field->is_signed = true;
        else if (!strcmp(word, "nonzero"))
            field->nonzero = true;
        else if (strcmp(word, "not"))
            fail(isa, isa->line, "'%s' says nothing about a field", word);
        in_not = !strcmp(word, "not") || (in_not && is_number);
    }
    check_field(isa, field);
    isa->fields++;
}

/* A syntax while it is taken apart. */
struct syntax_reader {
    const struct isa *isa;
    struct format *format;
    const char *text;
    char literal[64]; /* since the last operand */
    bool optional, hidden;
};

static void add_literal(struct syntax_reader *reader, const char *text, size_t length)
{
    size_t used = strlen(reader->literal);
    if (used + length >= sizeof reader->format->after)
        fail(reader->isa, reader->isa->line, "too much text between two operands");
    memcpy(reader->literal + used, text, length);
    reader->literal[used + length] = '\0';
}

static void add_operand(struct syntax_reader *reader, const struct field *field)
{
    struct format *format = reader->format;
    if (reader->hidden) {
        if (format->hiddens == MAX_HIDDEN)
            fail(reader->isa, reader->isa->line, "more than %d fields in braces", MAX_HIDDEN);
        format->hidden[format->hiddens++] = field;
        reader->literal[0] = '\0';
        return;
    }
    if (format->parts == RV_OPERANDS)
        fail(reader->isa, reader->isa->line, "more than %d operands", RV_OPERANDS);
    struct part *part = &format->part[format->parts++];
    part->field = field;
    part->optional = reader->optional;
    if (!strcmp(reader->literal, ".")) {
        if (format->suffixes != format->parts - 1)
            fail(reader->isa, reader->isa->line, ".%s comes after an operand", field->name);
        format->suffixes++;
    } else {
        strcpy(part->before, reader->literal);
    }
    reader->literal[0] = '\0';
}

static void read_syntax_word(struct syntax_reader *reader)
{
    size_t length = 0;
    while (isalnum((unsigned char)reader->text[length]) || reader->text[length] == '_')
        length++;
    char word[NAME_SIZE];
    snprintf(word, sizeof word, "%.*s", (int)length, reader->text);
    const struct field *field = isa_field(reader->isa, word);
    if (field)
        add_operand(reader, field);
    else if (is_word_known(word) || isdigit((unsigned char)*word))
        add_literal(reader, word, strlen(word));
    else
        fail(reader->isa, reader->isa->line, "'%s' is neither a field nor a register", word);
    reader->text += length;
}

static void read_syntax(struct syntax_reader *reader)
{
    while (*reader->text) {
        char c = *reader->text;
        if (isalnum((unsigned char)c)) {
            read_syntax_word(reader);
            continue;
        }
        if (c == '[' || c == ']')
            reader->optional = c == '[';
        else if (c == '{' || c == '}')
            reader->hidden = c == '{';
        else if (strchr("(),.", c))
            add_literal(reader, &c, 1);
        else if (c != ' ' && c != '\t')
            fail(reader->isa, reader->isa->line, "'%c' has no meaning in a syntax", c);
        reader->text++;
    }
    if (reader->optional || reader->hidden)
        fail(reader->isa, reader->isa->line, "a bracket is not closed");
    strcpy(reader->format->after, reader->literal);
}

static void read_format(struct isa *isa, char *text)
{
    if (isa->formats == MAX_FORMATS)
        fail(isa, isa->line, "more than %d formats", MAX_FORMATS);
    struct format *format = &isa->format[isa->formats++];
    copy_name(isa, format->name, need_word(isa, &text, "the format's name"));
    struct syntax_reader reader = {.isa = isa, .format = format, .text = text};
    read_syntax(&reader);
    for (unsigned i = 0; i < format->parts; i++)
        if (format->part[i].optional && format->part[i].field->omit == RV_NO_OMIT)
            fail(isa, isa->line, "field %s may be left out but has no default", format->part[i].field->name);
}

static const struct format *find_format(const struct isa *isa, const char *name)
{
    for (unsigned i = 0; i < isa->formats; i++)
        if (!strcmp(isa->format[i].name, name))
            return &isa->format[i];
    fail(isa, isa->line, "there is no format '%s'", name);
}

static unsigned find_extension(const struct isa *isa, const char *name)
{
    for (unsigned i = 0; i < isa->extensions; i++)
        if (!strcmp(isa->extension[i], name))
            return i;
    fail(isa, isa->line, "there is no extension '%s'", name);
}

/* Groups of 0, 1 and `.`; returns the first word after them. */
static char *read_pattern(const struct isa *isa, struct row *row, char **text)
{
    char *word;
    while ((word = next_word(text)) && strspn(word, "01.") == strlen(word)) {
        for (; *word; word++, row->bits++) {
            row->mask = row->mask << 1 | (*word != '.');
            row->match = row->match << 1 | (*word == '1');
        }
    }
    if (row->bits != 16 && row->bits != 32)
        fail(isa, isa->line, "the pattern of %s has %u bits", row->name, row->bits);
    if (((row->match & row->mask & 3) == 3) != (row->bits == 32))
        fail(isa, isa->line, "a pattern of 32 bits, and no other, ends in 11");
    if (!word)
        fail(isa, isa->line, "the format is missing");
    return word;
}

static void read_flag(const struct isa *isa, struct row *row, const char *word)
{
    for (unsigned i = 0; i < FLAG_COUNT; i++)
        if (!strcmp(flag_names[i].text, word)) {
            row->flags |= 1u << i;
            return;
        }
    fail(isa, isa->line, "'%s' is not a flag", word);
}

static void read_row(struct isa *isa, const char *name, char *text)
{
    if (isa->rows == MAX_ROWS)
        fail(isa, isa->line, "more than %d instructions", MAX_ROWS);
    struct row *row = &isa->row[isa->rows++];
    *row = (struct row){.line = isa->line};
    copy_name(isa, row->name, name);
    char *arrow = strstr(text, "=>");
    if (arrow) {
        *arrow = '\0';
        arrow += 2 + strspn(arrow + 2, " \t");
        if (strlen(arrow) >= sizeof row->expansion)
            fail(isa, isa->line, "the expansion is too long");
        strcpy(row->expansion, arrow);
    }
    row->format = find_format(isa, read_pattern(isa, row, &text));
    row->ext = find_extension(isa, need_word(isa, &text, "the extension"));
    for (char *word; (word = next_word(&text));) {
        if (!strcmp(word, "within"))
            copy_name(isa, row->within_name, need_word(isa, &text, "the other instruction"));
        else
            read_flag(isa, row, word);
    }
    if ((row->bits == 16) != (row->expansion[0] != '\0'))
        fail(isa, isa->line, "compressed instructions, and no others, have an expansion");
}

void isa_read(struct isa *isa, FILE *file)
{
    char line[1024];
    while (fgets(line, sizeof line, file)) {
        isa->line++;
        line[strcspn(line, "#\r\n")] = '\0';
        char *text = line, *word = next_word(&text);
        if (!word)
            continue;
        if (!strcmp(word, "extension"))
            read_extension(isa, text);
        else if (!strcmp(word, "csr"))
            read_csr(isa, text);
        else if (!strcmp(word, "field"))
            read_field(isa, text);
        else if (!strcmp(word, "format"))
            read_format(isa, text);
        else
            read_row(isa, word, text);
    }
}
