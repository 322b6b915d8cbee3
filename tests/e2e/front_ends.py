"""What a person does in JupyterLab or Notebook 7. Both are built of the same parts."""

import nbformat
from playwright.sync_api import expect

# Where a server shows a notebook.
PATHS = {"lab": "lab/tree/{}", "notebook": "notebooks/{}"}
START_TIMEOUT_MS = 60_000


def menu(page, *path):
    """Chooses an entry of the main menu."""
    page.locator(".lm-MenuBar-itemLabel", has_text=path[0]).first.click()
    for label in path[1:-1]:
        page.locator(".lm-Menu-itemLabel", has_text=label).first.hover()
    page.locator(".lm-Menu-itemLabel").get_by_text(path[-1], exact=True).click()


def write_notebook(path, cells):
    kernelspec = {"name": "ecco", "language": "rhai", "display_name": "Ecco"}
    notebook = nbformat.v4.new_notebook(metadata={"kernelspec": kernelspec})
    notebook.cells = [nbformat.v4.new_code_cell(code) for code in cells]
    nbformat.write(notebook, path)


class OpenNotebook:
    """A notebook open in a page, with the cells it was written with."""

    def __init__(self, kind, page, address, name, screenshots):
        self.kind, self.page, self.screenshots = kind, page, screenshots
        url, token = address
        page.goto(f"{url}{PATHS[kind].format(name)}?token={token}")
        page.locator(".jp-CodeCell").first.wait_for(timeout=START_TIMEOUT_MS)
        expect(page.locator(".jp-KernelName").first).to_have_text("Ecco", timeout=START_TIMEOUT_MS)
        self.wait_until_idle()

    def wait_until_idle(self, timeout=START_TIMEOUT_MS):
        status = self.page.locator(".jp-NotebookPanel-toolbar .jp-Notebook-ExecutionIndicator")
        expect(status.first).to_have_attribute("data-status", "idle", timeout=timeout)

    def cell(self, number):
        return self.page.locator(".jp-Notebook .jp-Cell").nth(number)

    def output(self, number):
        return self.cell(number).locator(".jp-Cell-outputArea")

    def edit(self, number):
        """Puts the cursor at the end of a cell."""
        self.cell(number).scroll_into_view_if_needed()
        self.cell(number).locator(".cm-content").click()
        self.page.keyboard.press("Control+End")

    def run(self, number):
        self.edit(number)
        self.page.keyboard.press("Control+Enter")

    def interrupt(self, timeout=None):
        button = self.page.locator('.jp-NotebookPanel-toolbar [data-jp-item-name="interrupt"]')
        button.first.click(timeout=timeout)

    def restart(self):
        menu(self.page, "Kernel", "Restart Kernel…")
        self.page.locator(".jp-Dialog .jp-mod-accept").click()
        self.page.locator(".jp-Dialog").wait_for(state="detached")

    def shot(self, name):
        self.screenshots.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=self.screenshots / f"{self.kind}-{name}.png")
