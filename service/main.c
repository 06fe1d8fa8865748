/* main.c - the command line of the daemon. */
#include "app.h"
#include "demo.h"
#include "flow/accounts.h"
#include "serve.h"
#include "sql/migrate.h"

#include <curl/curl.h>
#include <mysql.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { EXIT_USAGE = 2 };

struct command {
    const char *name, *args, *help;
    int (*run)(struct app *app, int argc, char **argv);
};

static int complain(const char *error)
{
    fprintf(stderr, "snapup: %s\n", error);
    return EXIT_FAILURE;
}

/* --- one session ------------------------------------------------------------------------------ */

typedef enum status (*session_fn)(struct app *app, struct session *s, int argc, char **argv,
                                  char *error, size_t size);

static int with_session(struct app *app, int argc, char **argv, session_fn fn)
{
    char error[512];
    struct session *s = NULL;
    enum status st = session_create(&app->engine, &s);
    if (st == ST_OK)
        st = sql_connect(s->sql);
    snprintf(error, sizeof(error), "MariaDB at %s does not answer", app->conf.sql);
    if (st == ST_OK)
        st = migrate_run(s->sql, app->conf.schema_dir, app->engine.log, NULL, error, sizeof(error));
    if (st == ST_OK)
        st = fn(app, s, argc, argv, error, sizeof(error));
    session_destroy(&s);
    return st == ST_OK ? EXIT_SUCCESS : complain(error);
}

static enum status do_nothing(struct app *app, struct session *s, int argc, char **argv,
                              char *error, size_t size)
{
    return ST_OK;
}

static int run_migrate(struct app *app, int argc, char **argv)
{
    return with_session(app, argc, argv, do_nothing);
}

static enum status do_demo(struct app *app, struct session *s, int argc, char **argv, char *error,
                           size_t size)
{
    if (app->conf.production) {
        snprintf(error, size, "demo data is not for production (set production = 0)");
        return ST_FORBIDDEN;
    }
    enum status st = catalog_reload(app->engine.catalog, s->sql);
    return st == ST_OK ? demo_load(s, app->master_key, error, size) : st;
}

static int run_demo(struct app *app, int argc, char **argv)
{
    return with_session(app, argc, argv, do_demo);
}

/* 32 random bytes behind a prefix, base64url. */
static void make_secret(struct session *s, const char *prefix, char out[64])
{
    uint8_t random[32];
    uid_random(s->ids, random, sizeof(random));
    int n = snprintf(out, 64, "%s", prefix);
    n += (int)base64url_encode((struct str){(char *)random, sizeof(random)}, out + n);
    out[n] = '\0';
}

static enum status do_storefront(struct app *app, struct session *s, int argc, char **argv,
                                 char *error, size_t size)
{
    char key[64], secret[64], kid[ID_MAX + 1], tail[64];
    struct str id = str_from(argc > 0 ? argv[0] : "");
    snprintf(error, size, "the storefront could not be added: %s", "is MariaDB writable?");
    if (!id_valid(id) || id.n > 40) {
        snprintf(error, size, "a storefront id is 1 to 40 characters of A-Za-z0-9._:-");
        return ST_INVALID_REQUEST;
    }
    make_secret(s, "sk_", key);
    make_secret(s, "", secret);
    make_secret(s, "", tail);
    snprintf(kid, sizeof(kid), "%s-%.8s", id.p, tail);
    const struct new_storefront wish = {id, str_from(key), str_from(kid), str_from(secret), false};
    enum status st = accounts_add_storefront(s, app->master_key, &wish);
    if (st == ST_OK)
        printf("storefront   %s\nkey          %s\nsigning kid  %s\nsecret       %s\n"
               "Keep them: they are stored hashed and sealed, and not shown again.\n",
               id.p, key, kid, secret);
    return st;
}

static int run_storefront(struct app *app, int argc, char **argv)
{
    return with_session(app, argc, argv, do_storefront);
}

static enum status do_operator(struct app *app, struct session *s, int argc, char **argv,
                               char *error, size_t size)
{
    char key[64];
    snprintf(error, size, "the key could not be added: is MariaDB writable?");
    make_secret(s, "op_", key);
    enum status st = accounts_add_operator(s, str_from(key), false);
    if (st == ST_OK)
        printf("key  %s\nKeep it: it is stored hashed, and not shown again.\n", key);
    return st;
}

static int run_operator(struct app *app, int argc, char **argv)
{
    return with_session(app, argc, argv, do_operator);
}

static int run_serve(struct app *app, int argc, char **argv)
{
    char error[512] = "";
    return serve(app, error, sizeof(error)) == ST_OK ? EXIT_SUCCESS : complain(error);
}

/* --- the command line ------------------------------------------------------------------------- */

static const struct command commands[] = {
    {"serve", "", "serve HTTP until SIGTERM or Ctrl-C (the default)", run_serve},
    {"migrate", "", "bring MariaDB's schema up to date and exit", run_migrate},
    {"demo", "", "load the demo storefront, keys and sale", run_demo},
    {"storefront", "ID", "add a storefront, or new keys to it, and print them", run_storefront},
    {"operator", "", "add an operator key and print it", run_operator},
};

static int usage(FILE *out)
{
    fprintf(out, "Usage: snapup [COMMAND] [--config FILE]\n\nCommands:\n");
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
        fprintf(out, "  %-10s %-3s %s\n", commands[i].name, commands[i].args, commands[i].help);
    fprintf(out, "  %-10s %-3s %s\n", "config-table", "", "print every setting as a table");
    fprintf(out, "\nSettings come from FILE (or $SNAPUP_CONFIG) and from SNAPUP_<KEY> in the "
                 "environment.\n");
    return out == stdout ? EXIT_SUCCESS : EXIT_USAGE;
}

static int print_config_table(void)
{
    struct buf b;
    buf_init(&b, 1024 * 1024);
    config_table_markdown(&b);
    fwrite(b.data, 1, b.len, stdout);
    buf_fini(&b);
    return EXIT_SUCCESS;
}

static int run_command(const struct command *command, const char *file, char **whole, int argc,
                       char **argv)
{
    static struct app app; /* large; the one there is */
    app.conf_file = file;
    app.argv = whole;
    char error[512];
    if (config_load(&app.conf, file, environ, error, sizeof(error)) != ST_OK)
        return complain(error);
    curl_global_init(CURL_GLOBAL_DEFAULT);
    mysql_library_init(0, NULL, NULL);
    int rc = EXIT_FAILURE;
    if (app_init(&app, error, sizeof(error)) == ST_OK)
        rc = command->run(&app, argc, argv);
    else
        complain(error);
    app_fini(&app);
    mysql_library_end();
    curl_global_cleanup();
    return rc;
}

int main(int argc, char **argv)
{
    const char *file = getenv("SNAPUP_CONFIG"), *name = "serve";
    char *rest[4];
    int n = 0;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return usage(stdout);
        if (strcmp(argv[i], "--version") == 0)
            return puts("snapup " SNAPUP_VERSION) < 0;
        if (strcmp(argv[i], "--config") == 0 && i + 1 < argc)
            file = argv[++i];
        else if (argv[i][0] == '-' || n == 4)
            return usage(stderr);
        else
            rest[n++] = argv[i];
    }
    if (n > 0)
        name = rest[0];
    if (strcmp(name, "config-table") == 0)
        return print_config_table();
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
        if (strcmp(commands[i].name, name) == 0)
            return run_command(&commands[i], file, argv, n > 0 ? n - 1 : 0, rest + 1);
    return usage(stderr);
}
