/* Makes a Debian root directory for riscv64:
 *
 *   mirror       the host's own, from apt
 *   first stage  debootstrap --foreign on the host: downloads, checks signatures, unpacks what dpkg needs
 *   second stage /debootstrap/debootstrap --second-stage, a riscv64 shell script, run by Guise inside the new root
 *   rename       the root appears under its name
 *
 * A stage is a child process in a process group of its own; its output comes through a pipe, a line at a time. */
#include "base/error.h"
#include "base/util.h"
#include "vm/image.h"
#include "vm/index.h"
#include "vm/mirror.h"
#include "vm/stage.h"
#include "vm/userns.h"
#include "vm/vm.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HOST_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define KEYRING   "/usr/share/keyrings/debian-archive-keyring.gpg"
#define SCRIPTS   "/usr/share/debootstrap/scripts"

struct job {
    const struct guise_pull *pull;
    const char *name;  /* of the image */
    const char *suite; /* "trixie" */
    struct image_paths paths;
    char *mirror;
    unsigned required, base; /* packages, once debootstrap has worked them out */
    struct guise_progress progress;
    char phase[64], item[128];
    char last[256]; /* the last line that was no progress: the cause, when a stage fails */
    bool error_seen;
};

/* ---- Progress: what debootstrap prints, in our words ---- */

static void report(struct job *job)
{
    job->progress.phase = job->phase;
    job->progress.item = job->item;
    if (job->pull->progress)
        job->pull->progress(job->pull->context, &job->progress);
}

static void begin_phase(struct job *job, const char *phase, unsigned total)
{
    snprintf(job->phase, sizeof(job->phase), "%s", phase);
    job->item[0] = '\0';
    job->progress.done = 0;
    job->progress.total = total;
    report(job);
}

/* Lines that begin a phase, and the lines that count inside it. */
static const struct phase {
    const char *line, *phase;
    enum { COUNT_NOTHING, COUNT_REQUIRED, COUNT_BASE } total;
} phases[] = {
    {"Retrieving InRelease", "reading the mirror's index", COUNT_NOTHING},
    {"Resolving dependencies of required packages...", "choosing packages", COUNT_NOTHING},
    {"Found additional", "choosing packages", COUNT_NOTHING},
    {"Checking component", "downloading packages", COUNT_NOTHING},
    {"Chosen extractor", "unpacking the first packages", COUNT_NOTHING},
    {"Installing core packages...", "installing the core in the guest", COUNT_NOTHING},
    {"Unpacking required packages...", "unpacking required packages in the guest", COUNT_REQUIRED},
    {"Configuring required packages...", "configuring required packages in the guest", COUNT_REQUIRED},
    {"Unpacking the base system...", "unpacking the other packages in the guest", COUNT_BASE},
    {"Configuring the base system...", "configuring the other packages in the guest", COUNT_BASE},
};

static const struct phase *find_phase(const char *line)
{
    for (size_t i = 0; i < ARRAY_SIZE(phases); i++)
        if (strncmp(line, phases[i].line, strlen(phases[i].line)) == 0)
            return &phases[i];
    return NULL;
}

/* "Retrieving libc6 2.41-12", "Extracting libc6...", "Unpacking libc6:riscv64...", "Configuring libc6:riscv64..." */
static bool parse_item(const char *line, char *item, size_t size)
{
    static const char *const verbs[] = {"Retrieving ", "Extracting ", "Unpacking ", "Configuring "};
    for (size_t i = 0; i < ARRAY_SIZE(verbs); i++) {
        size_t length = strlen(verbs[i]);
        if (strncmp(line, verbs[i], length))
            continue;
        size_t end = strcspn(line + length, " :");
        while (end && line[length + end - 1] == '.')
            end--;
        snprintf(item, size, "%.*s", (int)end, line + length);
        return true;
    }
    return false;
}

static void take_line(void *context, const char *line)
{
    struct job *job = context;
    if (strncmp(line, "I: ", 3) != 0) {
        bool error = strncmp(line, "E: ", 3) == 0;
        if (*line && (error || !job->error_seen))
            snprintf(job->last, sizeof(job->last), "%s", line + (error ? 3 : 0));
        job->error_seen = job->error_seen || error;
        return;
    }
    const struct phase *phase = find_phase(line + 3);
    if (phase) {
        unsigned total = phase->total == COUNT_REQUIRED ? job->required
                         : phase->total == COUNT_BASE   ? job->base
                                                        : 0;
        if (strcmp(job->phase, phase->phase) != 0)
            begin_phase(job, phase->phase, total);
    } else if (parse_item(line + 3, job->item, sizeof(job->item))) {
        if (job->progress.done < job->progress.total ||
            !job->progress.total) /* triggers may configure one twice */
            job->progress.done++;
        report(job);
    }
}

/* ---- First stage ---- */

/* A suite that this debootstrap does not know is newer than it: what makes sid will do. */
static const char *suite_script(const char *suite)
{
    char path[PATH_MAX];
    snprintf(path, sizeof(path), "%s/%s", SCRIPTS, suite);
    return access(path, R_OK) == 0 ? NULL : SCRIPTS "/sid";
}

static bool first_stage_argv(const struct job *job, struct list *argv)
{
    const char *script = suite_script(job->suite), *include = job->pull->include;
    bool made = list_add(argv, "debootstrap") && list_add(argv, "--foreign") &&
                list_add(argv, "--arch=riscv64") && list_add(argv, "--variant=minbase");
    if (access(KEYRING, R_OK) == 0)
        made = made && list_add(argv, "--keyring=" KEYRING);
    if (include && *include)
        made = made && list_addf(argv, "--include=%s", include);
    made =
        made && list_add(argv, job->suite) && list_add(argv, job->paths.work) && list_add(argv, job->mirror);
    if (script)
        made = made && list_add(argv, script);
    return made;
}

static int run_first_stage(void *context, struct guise_error *err)
{
    const struct job *job = context;
    struct list argv = {0};
    bool single_id = false;
    int r = userns_enter(&single_id, err);
    if (r)
        return r;
    if (!first_stage_argv(job, &argv))
        return error_set(err, GUISE_E_NOMEM, "out of memory");
    setenv("PATH", HOST_PATH, 1);
    setenv("LC_ALL", "C", 1);
    setenv("container", "lxc", 1); /* debootstrap: device nodes may be forbidden, go on */
    if (single_id)
        setenv("TAR_OPTIONS", "--no-same-owner",
               1); /* the guest's dpkg sets the owners later, as far as it can */
    umask(022);
    execvp("debootstrap", argv.items);
    return error_set_errno(err, GUISE_E_SYSTEM, errno, "cannot start debootstrap");
}

static unsigned count_words(const struct job *job, const char *name)
{
    char path[PATH_MAX], word[256];
    unsigned count = 0;
    snprintf(path, sizeof(path), "%s/debootstrap/%s", job->paths.work, name);
    FILE *file = fopen(path, "re");
    while (file && fscanf(file, "%255s", word) == 1)
        count++;
    if (file)
        fclose(file);
    return count;
}

/* ---- Second stage ---- */

static int set_all(struct guise_vm *vm, const struct job *job, struct guise_error *err)
{
    const char *const properties[][2] = {
        {"root", job->paths.work},
        {"program", "/bin/sh"},
        {"arg", "sh"},
        {"arg", "/debootstrap/debootstrap"},
        {"arg", "--second-stage"},
        {"env", "container=lxc"},
        {"env", "LANG=C"},
        {"env", "DEBIAN_FRONTEND=noninteractive"},
        {"env", "DEBCONF_NONINTERACTIVE_SEEN=true"},
    };
    int r = 0;
    for (size_t i = 0; i < ARRAY_SIZE(properties) && r == 0; i++)
        r = guise_vm_set(vm, properties[i][0], properties[i][1], err);
    if (r == 0 && job->pull->monitor)
        r = guise_vm_set(vm, "monitor", job->pull->monitor, err);
    return r;
}

static int run_second_stage(void *context, struct guise_error *err)
{
    const struct job *job = context;
    int r = index_reduce(job->paths.work, err);
    if (r)
        return r;
    struct guise_vm *vm = guise_vm_new(GUISE_PROCESS);
    if (!vm)
        return error_set(err, GUISE_E_NOMEM, "out of memory");
    umask(022);
    vm->hold_mounts = true;
    r = set_all(vm, job, err);
    if (r == 0)
        r = guise_vm_exec(vm, err);
    guise_vm_free(vm);
    return r;
}

static int write_root_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "we");
    if (!file)
        return -1;
    int r = fputs(text, file) < 0 ? -1 : 0;
    return fclose(file) ? -1 : r;
}

/* The last touches, inside the new root. */
static int finish_root(void *context, struct guise_error *err)
{
    const struct job *job = context;
    char *sources;
    bool single_id = false;
    int r = userns_enter(&single_id, err);
    if (r)
        return r;
    if (chroot(job->paths.work) || chdir("/"))
        return error_set_errno(err, GUISE_E_SYSTEM, errno, "cannot enter %s", job->paths.work);
    index_remove();
    if (asprintf(&sources, "deb %s %s main\n", job->mirror, job->suite) < 0)
        return error_set(err, GUISE_E_NOMEM, "out of memory");
    r = write_root_file("/etc/apt/sources.list", sources);
    free(sources);
    /* apt downloads as a user of its own, which a namespace with one id has not. */
    if (r == 0)
        r = write_root_file("/etc/apt/apt.conf.d/90guise", "APT::Sandbox::User \"root\";\n");
    if (r)
        return error_set_errno(err, GUISE_E_IO, errno, "cannot configure apt in the root");
    _exit(0);
}

/* ---- The whole ---- */

/* Keeps debootstrap's log for a look at what went wrong. */
static bool keep_log(const struct job *job)
{
    char path[PATH_MAX];
    snprintf(path, sizeof(path), "%s/debootstrap/debootstrap.log", job->paths.work);
    return rename(path, job->paths.log) == 0;
}

static int stage_failed(const struct job *job, int code, const char *stage, struct guise_error *err)
{
    if (strstr(job->last, "binary-riscv64"))
        return error_set(
            err, GUISE_E_NETWORK,
            "%s has no riscv64 packages for %s (Debian has them from trixie on; --mirror names another mirror)",
            job->mirror, job->suite);
    bool log = keep_log(job);
    return error_set(err, code, "%s of %s failed: %s%s%s%s", stage, job->name,
                     *job->last ? job->last : "no reason given", log ? " (its log: " : "",
                     log ? job->paths.log : "", log ? ")" : "");
}

static int run_stage(struct job *job, const char *name, int (*run)(void *, struct guise_error *), int code,
                     struct guise_error *err)
{
    struct stage stage = {.run = run, .context = job, .line = take_line, .line_context = job};
    job->last[0] = '\0';
    job->error_seen = false;
    int r = stage_run(&stage, err);
    if (r == GUISE_E_GUEST)
        r = stage_failed(job, code, name, err);
    return r;
}

static int make_root(struct job *job, struct guise_error *err)
{
    begin_phase(job, "asking apt for a mirror", 0);
    int r = 0;
    if (job->pull->mirror)
        job->mirror = strdup(job->pull->mirror);
    else
        r = mirror_find(&job->mirror, err);
    if (r == 0 && !job->mirror)
        r = error_set(err, GUISE_E_NOMEM, "out of memory");
    if (r == 0)
        r = run_stage(job, "the first stage", run_first_stage, GUISE_E_NETWORK, err);
    if (r)
        return r;
    job->required = count_words(job, "required");
    job->base = count_words(job, "base");
    r = run_stage(job, "the second stage", run_second_stage, GUISE_E_GUEST, err);
    if (r == 0)
        r = run_stage(job, "the configuration", finish_root, GUISE_E_SYSTEM, err);
    return r;
}

/* The new root takes its name; one of that name goes in the same moment. */
static int publish(const struct image_paths *paths, struct guise_error *err)
{
    if (renameat2(AT_FDCWD, paths->work, AT_FDCWD, paths->final, RENAME_EXCHANGE) == 0)
        return image_remove_tree(paths->work, err);
    if (rename(paths->work, paths->final))
        return error_set_errno(err, GUISE_E_IO, errno, "cannot make %s", paths->final);
    return 0;
}

static int pull_locked(struct job *job, struct guise_error *err)
{
    int r = image_remove_tree(job->paths.work, err); /* of a pull that was killed */
    unlink(job->paths.log);
    if (r == 0 && (mkdir(job->paths.work, 0755) || chmod(job->paths.work, 0755)))
        r = error_set_errno(err, GUISE_E_IO, errno, "cannot make %s", job->paths.work);
    if (r == 0)
        r = make_root(job, err);
    if (r == 0)
        r = image_remove_boot(&job->paths, err); /* of the image that is replaced */
    if (r == 0)
        r = publish(&job->paths, err);
    else
        image_remove_tree(job->paths.work, NULL);
    return r;
}

static bool in_host_path(const char *program)
{
    char path[PATH_MAX];
    for (const char *at = HOST_PATH; *at; at += strspn(at, ":")) {
        size_t length = strcspn(at, ":");
        snprintf(path, sizeof(path), "%.*s/%s", (int)length, at, program);
        if (access(path, X_OK) == 0)
            return true;
        at += length;
    }
    return false;
}

/* Fills job->suite and job->name from what was asked for. */
static int check_request(struct job *job, struct guise_error *err)
{
    const char *image = job->pull->image;
    if (strncmp(image, "debian:", 7) != 0)
        return error_set(err, GUISE_E_CONFIG,
                         "cannot pull '%s': it must be debian:SUITE, for example debian:trixie", image);
    job->suite = image + 7;
    job->name = job->pull->name ? job->pull->name : image;
    struct image_paths checked; /* a suite is spelled like a name's part */
    int r = image_paths_init(&checked, image, err);
    image_paths_release(&checked);
    if (r == 0)
        r = image_paths_init(&job->paths, job->name, err);
    return r;
}

/* Does the program need a loader, which is not there inside a riscv64 root? (A build with sanitizers does.) */
static bool is_dynamic(const char *program)
{
    Elf64_Ehdr header;
    Elf64_Phdr segment;
    bool found = false;
    int fd = open(program, O_RDONLY | O_CLOEXEC);
    if (fd >= 0 && pread(fd, &header, sizeof(header), 0) == (ssize_t)sizeof(header))
        for (unsigned i = 0; i < header.e_phnum && !found; i++) {
            off_t at = (off_t)(header.e_phoff + i * sizeof(segment));
            found = pread(fd, &segment, sizeof(segment), at) == (ssize_t)sizeof(segment) &&
                    segment.p_type == PT_INTERP;
        }
    if (fd >= 0)
        close(fd);
    return found;
}

static int check_host(const struct job *job, struct guise_error *err)
{
    if (!in_host_path("debootstrap"))
        return error_set(err, GUISE_E_NOTFOUND, "debootstrap is missing: apt-get install debootstrap");
    if (job->pull->monitor && is_dynamic(job->pull->monitor))
        return error_set(
            err, GUISE_E_UNSUPPORTED,
            "this guise is linked dynamically (built with sanitizers?): it cannot run programs that are "
            "started inside another root, as the second stage needs");
    return 0;
}

static int pull_checked(struct job *job, bool *present, struct guise_error *err)
{
    int lock = image_lock(&job->paths, job->name, true, err);
    if (lock < 0)
        return lock;
    int r = 0;
    *present = !job->pull->force && access(job->paths.final, F_OK) == 0;
    if (!*present)
        r = check_host(job, err);
    if (!*present && r == 0)
        r = pull_locked(job, err);
    unlink(job->paths.lock);
    close(lock);
    return r;
}

int guise_image_pull(const struct guise_pull *pull, bool *present, struct guise_error *err)
{
    struct job job = {.pull = pull};
    bool found = false;
    sigset_t before;
    stage_signals_hold(&before);
    int r = check_request(&job, err);
    if (r == 0)
        r = pull_checked(&job, &found, err);
    if (present)
        *present = found;
    image_paths_release(&job.paths);
    free(job.mirror);
    sigprocmask(SIG_SETMASK, &before, NULL); /* a signal that came meanwhile takes effect here */
    return r;
}
