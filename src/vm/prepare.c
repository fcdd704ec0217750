/* Makes what a machine boots of an image (bootable.h):
 *
 *   pull    the image, if it is not there
 *   copy    its root directory, so that it stays as it is
 *   system  a script in the copy, run by Guise: init, kernel, modules, configuration (bootable.sh)
 *   disk    mke2fs on the host: a file system with the copy's files
 *   rename  all of it appears under its name */
#include "base/error.h"
#include "vm/image.h"
#include "vm/stage.h"
#include "vm/userns.h"
#include "vm/vm.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* bootable.sh */
extern const char bootable_script[];

struct job {
    const struct guise_pull *pull;
    const char *name; /* of the image */
    struct image_paths paths;
    char *tree; /* the copy */
    struct guise_progress progress;
    char phase[64], item[64];
    char last[256]; /* the last line that was no progress: the cause, when a stage fails */
};

static void begin_phase(struct job *job, const char *phase)
{
    snprintf(job->phase, sizeof(job->phase), "%s", phase);
    job->item[0] = '\0';
    job->progress = (struct guise_progress){.phase = job->phase, .item = job->item};
    if (job->pull->progress)
        job->pull->progress(job->pull->context, &job->progress);
}

/* "P: phase", "Setting up libc6:riscv64 (2.41) ..." */
static void take_line(void *context, const char *line)
{
    static const char setting_up[] = "Setting up ";
    struct job *job = context;
    if (strncmp(line, "P: ", 3) == 0) {
        begin_phase(job, line + 3);
    } else if (strncmp(line, setting_up, sizeof(setting_up) - 1) == 0) {
        const char *name = line + sizeof(setting_up) - 1;
        snprintf(job->item, sizeof(job->item), "%.*s", (int)strcspn(name, " :"), name);
        if (job->pull->progress)
            job->pull->progress(job->pull->context, &job->progress);
    } else if (*line) {
        snprintf(job->last, sizeof(job->last), "%s", line);
    }
}

/* ---- Stages, each in a process of its own ---- */

static int run_shell(const struct job *job, const char *script, const char *argument, struct guise_error *err)
{
    bool single_id;
    int r = userns_enter(&single_id, err);
    if (r)
        return r;
    if (chdir(job->paths.boot_work))
        return error_set_errno(err, GUISE_E_IO, errno, "%s", job->paths.boot_work);
    setenv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", 1);
    setenv("LC_ALL", "C", 1);
    execl("/bin/sh", "sh", "-euc", script, "sh", argument, (char *)NULL);
    return error_set_errno(err, GUISE_E_SYSTEM, errno, "cannot start a shell");
}

static int run_copy(void *context, struct guise_error *err)
{
    const struct job *job = context;
    return run_shell(job, "cp -a --reflink=auto \"$1\" tree", job->paths.final, err);
}

static int run_system(void *context, struct guise_error *err)
{
    const struct job *job = context;
    const char *const properties[][2] = {
        {"root", job->tree}, {"program", "/bin/sh"}, {"arg", "sh"}, {"arg", "-c"}, {"arg", bootable_script},
    };
    struct guise_vm *vm = guise_vm_new(GUISE_PROCESS);
    int r = vm ? 0 : error_set(err, GUISE_E_NOMEM, "out of memory");
    for (size_t i = 0; i < sizeof(properties) / sizeof(properties[0]) && r == 0; i++)
        r = guise_vm_set(vm, properties[i][0], properties[i][1], err);
    if (r == 0 && job->pull->monitor)
        r = guise_vm_set(vm, "monitor", job->pull->monitor, err);
    if (r == 0) {
        vm->hold_mounts = true;
        r = guise_vm_exec(vm, err);
    }
    guise_vm_free(vm);
    return r;
}

/* Inside the user namespace: the files have the owners that the guest gave them. The name server is written here, where
 * the copy's file is seen and not the host's. The new file is sparse and read as zeroes. */
static int run_disk(void *context, struct guise_error *err)
{
    static const char script[] = "mv tree/boot/guise/kernel tree/boot/guise/initrd .\n"
                                 "rmdir tree/boot/guise\n"
                                 "rm -f tree/etc/resolv.conf\n"
                                 "echo nameserver 10.0.2.3 >tree/etc/resolv.conf\n"
                                 "make() { mke2fs -q -F -t ext4 -L guise \"$@\" -d tree root \"$size\"; }\n"
                                 "size=$1\n"
                                 "make -E assume_storage_prezeroed=1 2>/dev/null || make\n"
                                 "rm -rf tree\n";
    const struct job *job = context;
    return run_shell(job, script, "8G", err);
}

static int run_stage(struct job *job, const char *phase, const char *name,
                     int (*run)(void *, struct guise_error *), struct guise_error *err)
{
    const struct stage stage = {.run = run, .context = job, .line = take_line, .line_context = job};
    job->last[0] = '\0';
    begin_phase(job, phase);
    int r = stage_run(&stage, err);
    if (r == GUISE_E_GUEST)
        r = error_set(err, r, "%s for %s failed: %s", name, job->name,
                      *job->last ? job->last : "no reason given");
    return r;
}

/* ---- The whole ---- */

static int make(struct job *job, struct guise_error *err)
{
    int r = image_remove_tree(job->paths.boot_work, err); /* of one that was killed */
    if (r == 0 && mkdir(job->paths.boot_work, 0755))
        r = error_set_errno(err, GUISE_E_IO, errno, "cannot make %s", job->paths.boot_work);
    if (r == 0)
        r = run_stage(job, "copying the root directory", "the copy", run_copy, err);
    if (r == 0)
        r = run_stage(job, "starting in the copy", "the system", run_system, err);
    if (r == 0)
        r = run_stage(job, "making the disk", "the disk", run_disk, err);
    if (r == 0 && rename(job->paths.boot_work, job->paths.boot))
        r = error_set_errno(err, GUISE_E_IO, errno, "cannot make %s", job->paths.boot);
    if (r)
        image_remove_tree(job->paths.boot_work, NULL);
    return r;
}

static int make_locked(struct job *job, bool *present, struct guise_error *err)
{
    int lock = image_lock(&job->paths, job->name, true, err);
    if (lock < 0)
        return lock;
    *present = access(job->paths.boot, F_OK) == 0;
    int r = *present ? 0 : make(job, err);
    unlink(job->paths.lock);
    close(lock);
    return r;
}

/* An image that is there needs no pull, whatever its name. */
static int pull_if_missing(struct job *job, struct guise_error *err)
{
    if (!job->pull->force && access(job->paths.final, F_OK) == 0)
        return 0;
    return guise_image_pull(job->pull, NULL, err);
}

int guise_image_prepare(const struct guise_pull *pull, bool *present, struct guise_error *err)
{
    struct job job = {.pull = pull, .name = pull->name ? pull->name : pull->image};
    bool found = false;
    sigset_t before;
    int r = image_paths_init(&job.paths, job.name, err);
    if (r == 0)
        r = pull_if_missing(&job, err);
    if (r == 0 && asprintf(&job.tree, "%s/tree", job.paths.boot_work) < 0)
        r = error_set(err, GUISE_E_NOMEM, "out of memory");
    stage_signals_hold(&before);
    if (r == 0)
        r = make_locked(&job, &found, err);
    if (present)
        *present = found;
    free(job.tree);
    image_paths_release(&job.paths);
    sigprocmask(SIG_SETMASK, &before, NULL); /* a signal that came meanwhile takes effect here */
    return r;
}
