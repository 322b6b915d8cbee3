"""The messages of a kernel, as jupyter_kernel_test checks them."""

import jupyter_kernel_test


class EccoKernelTests(jupyter_kernel_test.KernelTests):
    kernel_name = "ecco"
    language_name = "rhai"
    file_extension = ".rhai"

    code_hello_world = 'print("hello, world")'
    code_generate_error = "there_is_no_such_variable"
    code_stderr = 'eprint("oops")'
    code_clear_output = "clear_output()"
    code_page_something = 'help("ecco::from_pretrained")'

    code_execute_result = [
        {"code": "6 * 7", "result": "42"},
        {"code": "let x = 20; x + 1", "result": "21"},
        {"code": "[1, 2, 3]", "result": "[1, 2, 3]"},
    ]
    code_display_data = [
        {
            "code": 'let shown = ecco::from_pretrained("demo").generate("1.", #{generate: 2});',
            "mime": "text/html",
        },
        {"code": 'display(markdown("**bold**"))', "mime": "text/markdown"},
        {"code": """display(svg("<svg xmlns='http://www.w3.org/2000/svg'/>"))""", "mime": "image/svg+xml"},
    ]

    completion_samples = [
        {"text": "let striped_zebra = 1; striped_z"},
        {"text": "ecco::from_p", "matches": {"from_pretrained"}},
        {"text": "no_name_starts_like_this", "matches": set()},
    ]
    code_inspect_sample = "ecco::from_pretrained"

    complete_code_samples = ["1 + 1", "let x = 1;", "fn twice(x) { 2 * x }", ""]
    incomplete_code_samples = ["fn twice(x) {", "let x =", "if true {", "/* a comment", 'print("']
    invalid_code_samples = ["let = 5", "1 + )", "fn { }"]

    supported_history_operations = ("tail", "range", "search")
    code_history_pattern = "6 ? 7"


class EccoWelcomeTests(jupyter_kernel_test.IopubWelcomeTests):
    kernel_name = "ecco"
    support_iopub_welcome = True


# The base class would be collected a second time under its own name.
del jupyter_kernel_test
