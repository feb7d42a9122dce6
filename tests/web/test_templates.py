"""How templates are written, and what the macros make of a form."""

import re
from pathlib import Path

import msgspec
import pytest
from jinja2 import UndefinedError

from domain.json_forms import JsonCommaIsMissing
from domain.names import UsernameIsInvalid
from domain.refusals import ChangedMeanwhile, Refusals
from domain.users import EmailIsInvalid, PasswordIsTooWeak
from tests.web.site import QUALITY_LEAD, Site
from web.charts import Series, line_chart
from web.forms import Form
from web.listing import read_listing
from web.pages import STATIC, TEMPLATES, Page, templates

FILES = sorted(TEMPLATES.rglob("*.html"))
PAGES = [path for path in FILES if not path.name.startswith("_") and path.name != "base.html"]
NAMES = [str(path.relative_to(TEMPLATES)) for path in FILES]
TAGS = re.compile(r"\{#.*?#\}|\{%.*?%\}|\{\{.*?\}\}", re.DOTALL)
SAME_IN_BOTH_LANGUAGES = {
    "Assay",
    "English",
    "中文",
    "GiB",
    "MiB",
    "IoU",
    "CPU",
    "GPU",
    "ZIP",
    "zip",
    "JSON",
    "TTMUD",
    "TPFIP",
}
"""Names, units, formats, and the codes in the drawing beside the sign-in."""
SENTENCES = re.compile(r"\{%-?\s*trans\b.*?endtrans\s*-?%\}", re.DOTALL)


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_a_template_names_its_inputs_on_its_first_line(path: Path) -> None:
    assert re.match(r"\{# ?(Inputs?|Macros?)[ :]|\{# Macros for", path.read_text()), (
        "{# Inputs: … #} or {# Macros: … #}"
    )


@pytest.mark.parametrize("path", PAGES, ids=[str(path.relative_to(TEMPLATES)) for path in PAGES])
def test_a_page_stands_in_the_base_layout_and_has_a_title(path: Path) -> None:
    text = path.read_text()
    assert '{% extends "base.html" %}' in text
    assert "{% block title %}" in text


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_nothing_is_inline(path: Path) -> None:  # the content security policy would block it
    text = path.read_text()
    assert not re.search(r"<style|\sstyle\s*=|\son[a-z]+\s*=\s*[\"']|javascript:", text)
    assert not re.search(r"<script(?![^>]*\ssrc=)", text)


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_nothing_comes_from_another_host(path: Path) -> None:  # S-4
    assert not re.search(r"(?:src|href|action)\s*=\s*[\"'](?:https?:)?//", path.read_text())


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_every_word_for_people_is_translated(path: Path) -> None:  # S-4
    text = re.sub(r"\{#.*?#\}", "", path.read_text(), flags=re.DOTALL)
    text = re.sub(r"<code>.*?</code>", "", text, flags=re.DOTALL)  # names of parameters and formulas
    text = re.sub(r"\{% block (stream|body_class) %\}.*?\{% endblock %\}", "", text)
    text = TAGS.sub("\n", SENTENCES.sub("\n", text))
    spoken = re.findall(r"(?:aria-label|title|placeholder|alt)=\"([^\"\n]+)\"", text)
    shown = re.sub(r"<[^>]*>|[\w-]+=\"[^\"]*\"|[/?&][\w./?&=-]*", "\n", text)
    words = re.findall(r"[^\W\d_]{2,}", shown) + re.findall(r"[^\W\d_]{2,}", " ".join(spoken))
    assert not [word for word in words if word not in SAME_IN_BOTH_LANGUAGES]


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_tables_have_a_caption_and_scoped_headings(path: Path) -> None:
    text = path.read_text()
    assert text.count("<table") == text.count("<caption"), "every table has a caption"
    assert not re.search(r"<th(?![^>]*scope=)[\s>]", text)


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_forms_that_change_something_carry_the_token(path: Path) -> None:  # U-1
    for form in re.findall(r"<form[^>]*method=\"post\".*?</form>", path.read_text(), flags=re.DOTALL):
        assert "token(site)" in form


@pytest.mark.parametrize("path", FILES, ids=NAMES)
@pytest.mark.parametrize("language", ["zh", "en"])
def test_every_template_compiles(path: Path, language: str) -> None:
    name = str(path.relative_to(TEMPLATES))
    assert templates(language).get_template(name).name == name


def test_a_value_that_is_not_there_is_an_error_and_not_a_blank() -> None:
    with pytest.raises(UndefinedError):
        templates("en").from_string("{{ page.frm }}").render(page=Page())


def test_scripts_ask_nothing_of_other_hosts_and_run_no_text() -> None:
    for path in STATIC.glob("*.js"):
        text = path.read_text()
        assert not re.search(r"https?://|\beval\(|new Function|document\.write", text), path.name


def test_styles_ask_nothing_of_other_hosts() -> None:
    for path in STATIC.glob("*.css"):
        assert not re.search(r"@import|https?://|url\((?!data:)", path.read_text()), path.name


def test_nothing_moves_for_those_who_asked_for_rest() -> None:  # S-4
    styles = (STATIC / "app.css").read_text()
    moving = re.findall(r"@media \(prefers-reduced-motion: no-preference\) \{.*?\n\}", styles, re.DOTALL)
    assert len(re.findall(r"\banimation:", "".join(moving))) == len(re.findall(r"\banimation:", styles)) > 0
    assert "transition" not in styles


def test_every_refusal_stands_beside_its_field_and_everything_entered_is_kept(site: Site) -> None:  # U-2
    site.assay.refuse_with(Refusals([UsernameIsInvalid(), PasswordIsTooWeak(), EmailIsInvalid(email="wang@")]))
    answer = site.post(
        "/users/new", username="wang", password="secret", role="super_administrator", email="wang@", remark="夜班 <b>"
    )
    assert answer.status_code == 422
    for name, words in (
        ("username", "用户名为 5 到 64 个字符"),
        ("password", "密码不少于 6 个字符"),
        ("email", "“wang@”不是有效的邮箱地址"),
    ):
        assert re.search(
            rf'<input [^>]*name="{name}"[^>]* aria-describedby="{name}-error[^"]*"[^>]* aria-invalid="true"',
            answer.text,
        )
        assert re.search(rf'id="{name}-error" role="alert">{words}', answer.text)
    assert 'name="username" value="wang"' in answer.text
    assert 'value="super_administrator" checked' in answer.text
    assert "夜班 &lt;b&gt;</textarea>" in answer.text
    assert "secret" not in answer.text


def test_a_refusal_of_the_whole_form_stands_above_it(site: Site) -> None:
    site.assay.refuse_with(ChangedMeanwhile())
    answer = site.post("/users/new", username="panel_expert", password="Secret1", role="model_trainer")
    assert re.search(r'<div class="refusals" role="alert"[^>]*>\s*<p>其他用户刚刚同时修改了此项', answer.text)


def test_a_choice_that_was_not_offered_is_refused_and_not_a_crash(site: Site) -> None:
    answer = site.post("/users/new", username="panel_expert", password="Secret1", role="root")
    assert answer.status_code == 422
    assert "请从给出的选项中选择。" in answer.text
    assert site.assay.commands == []


def test_what_people_entered_is_shown_and_never_run(site: Site) -> None:
    nasty = msgspec.structs.replace(QUALITY_LEAD, remark='"><script>alert(1)</script>')
    site.read.users.accounts[QUALITY_LEAD.user_id] = nasty
    assert "<script>alert" not in site.get("/users").text
    assert "&lt;script&gt;alert(1)" in site.get("/users").text


def test_the_menu_marks_the_page_one_is_on_and_links_only_what_exists(site: Site) -> None:
    page = site.get("/users").text
    assert re.search(r'<a href="/users" aria-current="page">', page)
    addresses = re.findall(r'<a href="(/[a-z/-]*)"', page[page.index('<aside class="menu">') : page.index("</aside>")])
    assert "/users" in addresses
    for address in addresses:
        if address == "/":
            continue
        assert any(route.path.rstrip("/") == address for route in site.client.app.routes), address


def test_a_chart_says_what_it_shows_without_being_seen() -> None:
    chart = line_chart([Series("训练集", ((0.0, 2.0), (100.0, 0.5)))], x_label="迭代次数", y_label="损失")
    macro = (
        '{% import "_charts.html" as charts %}{{ charts.lines(chart, "损失函数", "训练损失随迭代次数变化", "loss") }}'
    )
    html = templates("zh").from_string(macro).render(chart=chart)
    assert 'role="img" aria-labelledby="loss-title loss-description"' in html
    assert '<title id="loss-title">损失函数</title>' in html
    assert "训练集 <b>0.5</b>" in html
    assert html.count('class="line line-1"') == 2  # the line and its legend


def test_a_chart_of_shares_says_so_beside_each_figure() -> None:
    chart = line_chart([Series("准确率", ((0.0, 50.0), (100.0, 91.67)))], x_label="iteration", y_label="%")
    macro = '{% import "_charts.html" as charts %}{{ charts.lines(chart, "验证指标", "", "shares") }}'
    html = templates("zh").from_string(macro).render(chart=chart)
    assert "准确率 <b>91.67 %</b>" in html
    assert 'data-unit=" %"' in html, "for the figures under the pointer"


def test_a_chart_without_points_says_so() -> None:
    html = (
        templates("zh")
        .from_string('{% import "_charts.html" as charts %}{{ charts.lines(chart, "损失函数", "", "loss") }}')
        .render(chart=line_chart([], x_label="", y_label=""))
    )
    assert "暂无数据。" in html
    assert "<svg" not in html


def test_a_json_editor_names_the_wrong_lines() -> None:
    form = Form.of(training_parameters="{\n}").refused(JsonCommaIsMissing(at="training_parameters", line=5, column=9))
    html = (
        templates("zh")
        .from_string('{% import "_forms.html" as forms %}{{ forms.json(form, "training_parameters", "训练参数") }}')
        .render(form=form)
    )
    assert 'data-wrong="5 "' in html
    assert "第 5 行第 9 列：上一行末尾似乎缺少逗号" in html


def test_progress_that_is_not_known_has_no_value() -> None:
    macro = '{% import "_progress.html" as progress %}{{ progress.bar(share, "panel-a") }}'
    assert "value=" not in templates("zh").from_string(macro).render(share=None)
    assert 'value="0.625"' in templates("zh").from_string(macro).render(share=0.625)


def rendered(source: str, **values: object) -> str:
    """What macros make, in Chinese."""
    imports = "".join(
        f'{{% import "_{name}.html" as {name} %}}' for name in ("tables", "dialogs", "status", "forms", "tabs")
    )
    return templates("zh").from_string(imports + source).render(**values)


def test_each_filter_in_force_can_be_taken_back_alone() -> None:
    form = Form.of(status="failed", search="panel", page="3")
    html = rendered(
        """{{ tables.chips(listing, [
          ("status", "任务状态", "failed", [("failed", "训练失败"), ("waiting", "等待中")]),
          ("owner", "创建用户", "", []),
          ("search", "模型名称", "panel", []),
        ]) }}""",
        listing=read_listing("/training-jobs", form),
    )
    chips = re.findall(r'<a class="chip" href="([^"]+)">.*?<b>(.*?)</b>', html)
    assert chips == [("/training-jobs?search=panel", "训练失败"), ("/training-jobs?status=failed", "panel")]
    assert rendered('{{ tables.chips(listing, [("status", "任务状态", "", [])]) }}', listing=None).strip() == ""


def test_a_filter_form_offers_the_way_back_only_while_it_filters() -> None:
    source = '{% call tables.filters("/models", shown) %}{{ tables.choice("kind", "类型", [("a", "甲")], "a") }}{% endcall %}'
    assert 'role="search" aria-label="筛选"' in rendered(source, shown=True)
    assert '<option value="a" selected>甲</option>' in rendered(source, shown=True)
    assert "查看全部" in rendered(source, shown=True)
    assert "查看全部" not in rendered(source, shown=False)


def test_a_question_counts_what_goes_along_and_leaves_out_what_does_not() -> None:  # M-3
    site_around = {"visit": {"csrf_token": "token"}}
    html = rendered(
        """{% call dialogs.confirm(site, form, "/remove", "确定删除？", "删除", "/back",
          counts=[(1234, "条生产环境"), (0, "个模型")]) %}
        <input name="reason" aria-label="原因">{% endcall %}""",
        site=site_around,
        form=Form(),
    )
    assert "<b>1,234</b> 条生产环境" in html
    assert "个模型" not in html
    assert 'name="reason"' in html
    assert html.index("确定删除？") < html.index('name="reason"') < html.index('<button class="danger">删除</button>')


def test_work_in_the_background_shows_a_bar_only_while_it_runs() -> None:  # S-5
    running = rendered('{{ status.work("扫描中", "running", "扫描进度", none, "已发现 120 张图片") }}')
    assert 'aria-label="扫描进度"' in running
    assert "已发现 120 张图片" in running
    failed = rendered('{{ status.work("失败", "bad", "扫描进度", none, "磁盘已满") }}')
    assert "<progress" not in failed
    assert '<p class="field-error">磁盘已满</p>' in failed


def test_the_tab_one_is_on_is_marked_and_counts_are_grouped() -> None:
    html = rendered('{{ tabs.tabs("样本", [("误判", "/a", true, 1200), ("全部", "/b", false, none)]) }}')
    assert '<a href="/a" aria-current="page">误判 <small>1,200</small></a>' in html
    assert '<a href="/b">全部</a>' in html


def test_several_controls_can_be_one_field() -> None:  # D-2
    form = Form.of(environment="").refused(EmailIsInvalid(at="environment", email="x"))
    html = rendered('{% call forms.group(form, "environment", "生产环境") %}<select></select>{% endcall %}', form=form)
    assert '<fieldset class="field" aria-describedby="environment-error" aria-invalid="true">' in html
    assert 'id="environment-error"' in html
    assert '<input type="hidden" name="environment">' in html
