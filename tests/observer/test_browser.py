"""The pages in a real browser: from the host to a log, fresh without a reload."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright
from running_observer import Start
from tasks_on_disk import TaskOnDisk, began, exited, launched, over, process, put_task

pytestmark = pytest.mark.browser

_QUIET = ["--disable-background-networking", "--disable-component-update", "--disable-sync"]


@pytest.fixture
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        arguments = ["--headless", "--no-sandbox", "--disable-gpu", *_QUIET]
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=arguments)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    page = browser.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    # Asking for more of a log than there is gives 416, and the browser says so.
    page.on("console", lambda said: None if "416" in said.text else complaints.append(said.text))
    yield page
    assert complaints == []


def walk_to_the_log(page: Page, url: str) -> None:
    page.goto(url)
    expect(page.locator("tbody tr")).to_have_count(2)
    page.get_by_role("link", name="shop").click()
    expect(page.locator("h1")).to_contain_text("shop ACTIVE")
    page.get_by_role("link", name="web").click()
    expect(page.locator("h1")).to_contain_text("web RUNNING")
    expect(page.locator(".command")).to_have_text("./web --serve")
    page.get_by_role("link", name="stdout").click()
    expect(page.locator("#log")).to_have_text("hello <b>browser</b>")


@pytest.fixture
def on_disk(root: str) -> TaskOnDisk:
    task = put_task(root, "t1", [process("web", daemon=True, max_failures=0)], began() + launched())
    task.log("web", 0, "stdout", b"hello <b>browser</b>\n")
    put_task(root, "t2", records=[*began(), *launched(), exited(), *over("FAILED")], name="other")
    return task


def test_from_the_host_to_a_log_that_grows_while_it_is_read(on_disk: TaskOnDisk, start: Start, page: Page) -> None:
    walk_to_the_log(page, start(on_disk.root).url)
    with open(f"{on_disk.directory}/sandbox/.logs/web/0/stdout", "ab") as file:
        file.write(b"and \x1b[1mmore\x1b[0m \xc3")
        file.flush()
        expect(page.locator("#log")).to_contain_text("and more", timeout=20_000)
        file.write(b"\xa9\n")
    expect(page.locator("#log")).to_contain_text("and more \u00e9", timeout=20_000)


def test_a_log_that_was_cut_is_shown_from_its_new_beginning(on_disk: TaskOnDisk, start: Start, page: Page) -> None:
    walk_to_the_log(page, start(on_disk.root).url)
    on_disk.log("web", 0, "stdout", b"new\n")
    expect(page.locator("#log")).to_have_text("new", timeout=20_000)


def test_the_same_pages_work_without_scripts(on_disk: TaskOnDisk, start: Start, browser: Browser) -> None:
    page = browser.new_context(java_script_enabled=False).new_page()
    walk_to_the_log(page, start(on_disk.root).url)


def test_a_page_follows_its_task_by_itself(on_disk: TaskOnDisk, start: Start, page: Page) -> None:
    page.goto(f"{start(on_disk.root).url}task/t1")
    expect(page.locator("tbody").first).to_contain_text("RUNNING")
    on_disk.append(exited(code=5))
    expect(page.locator("tbody").first).to_contain_text("exited with 5", timeout=20_000)


def test_tasks_are_filtered_by_state_and_by_name(root: str, start: Start, page: Page) -> None:
    put_task(root, "t1", records=began())
    put_task(root, "t2", records=began() + over("FAILED"), name="other")
    page.goto(start(root).url)
    page.get_by_role("link", name="FAILED 1").click()
    expect(page.locator("tbody tr")).to_have_count(1)
    expect(page.locator("tbody")).to_contain_text("other")
    page.get_by_label("name or id").fill("shop")
    page.get_by_label("name or id").press("Enter")
    expect(page.locator(".empty")).to_have_text("No task matches.")
