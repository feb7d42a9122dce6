"""用户管理: the list and what a super administrator changes of a user. Source: REQUIREMENTS, U-2 to U-4, U-7."""

import re
from urllib.parse import quote
from uuid import UUID

import msgspec
import pytest

from commands.users import ChangeUserEmail, ChangeUserRole, CreateUser, DeleteUser, ResetPassword
from domain.permissions import Role
from domain.users import Belongings, EmailIsInvalid, HeirNeeded, OneSuperAdministratorStays, PasswordIsTooWeak
from projections.users import UserRow
from tests.web.reading import assert_in_order, words
from tests.web.site import MODEL_TRAINER, QUALITY_LEAD, FakeAccount, Site
from web.sessions import Session

WANG = f"/users/{MODEL_TRAINER.user_id}"
SELF = f"/users/{QUALITY_LEAD.user_id}"
FILTERED = "/users?search=wang&sort=-username"
NOBODY = f"/users/{UUID(int=99)}"


def test_each_row_offers_what_can_be_changed(site: Site) -> None:  # U-3, U-4
    page = site.get("/users").text
    assert_in_order(words(page), "用户管理", "新建", "用户名", "用户角色", "邮箱", "备注", "创建时间", "操作")
    assert_in_order(words(page), "trainer_wang", "模型训练员", "添加邮箱", "重置密码", "修改角色", "删除")
    for action in ("email", "password", "role", "delete"):
        assert f'href="{WANG}/{action}"' in page
    assert f'href="{SELF}/password"' in page
    assert f'href="{SELF}/delete"' not in page


def test_the_email_address_itself_opens_its_dialog_and_so_does_an_empty_one(site: Site) -> None:  # U-4
    page = site.get("/users").text
    assert f'<a href="{SELF}/email" data-dialog>lead@fab.example<' in page
    assert f'<a href="{WANG}/email" data-dialog>添加邮箱<' in page


def test_whoever_only_hears_a_row_hears_whom_each_act_is_about(site: Site) -> None:  # S-4
    page = site.get("/users").text
    for text in ("添加邮箱", "重置密码", "修改角色", "删除"):
        assert f'>{text}<span class="visually-hidden"> trainer_wang</span></a>' in page


def test_what_is_filtered_is_shown_and_taken_back_one_by_one(site: Site) -> None:
    assert 'class="chips"' not in site.get("/users").text
    nobody = msgspec.structs.replace(site.read.users.page(), items=())
    site.read.users.page = lambda *_, **__: nobody
    page = site.get("/users?search=wang&role=model_trainer&deleted=yes").text
    chips = words(page[page.index('<ul class="chips"') : page.index("</ul>", page.index('<ul class="chips"'))])
    assert_in_order(chips, "用户名", "wang", "用户角色", "模型训练员", "用户状态", "已删除用户")
    assert 'href="/users?search=wang&amp;role=model_trainer"' in page
    assert '<option value="">现有用户</option>' in page
    assert '<option value="yes" selected>已删除用户</option>' in page


def test_the_address_says_what_the_list_shows(site: Site) -> None:  # U-4
    site.get("/users?search=wang&role=model_trainer&deleted=yes&sort=-username&page=1")
    assert site.read.users.asked == {
        "search": "wang",
        "role": Role.MODEL_TRAINER,
        "only_deleted": True,
        "sort": "-username",
    }
    site.get("/users?role=emperor&sort=password_hash")
    assert site.read.users.asked == {"search": "", "role": None, "only_deleted": False, "sort": "-created_at"}


def test_a_thousand_users_come_in_pages(site: Site) -> None:
    for number in range(3, 1001):
        site.read.users.accounts[UUID(int=number)] = FakeAccount(UUID(int=number), f"trainer_{number}")
    page = site.get("/users?page=2").text
    assert "共 1,000 个用户" in page
    assert page.count('<th scope="row">') == 20
    assert 'href="/users?page=50"' in page


def test_a_list_without_anyone_says_so(site: Site) -> None:
    site.read.users.page = lambda *_, **__: msgspec.structs.replace(
        type(site.read.users).page(site.read.users), items=()
    )
    assert "没有符合条件的用户" in site.get("/users?search=nobody").text


def test_deleted_users_are_shown_with_their_heirs_and_nothing_to_do(site: Site) -> None:  # U-7
    gone = UserRow(
        UUID(int=3),
        "trainer_li",
        Role.MODEL_TRAINER,
        "",
        "",
        QUALITY_LEAD.created_at,
        QUALITY_LEAD.created_at,
        "trainer_wang",
    )
    found = msgspec.structs.replace(site.read.users.page(), items=(gone,), total=1)
    site.read.users.page = lambda *_, **__: found
    page = site.get("/users?deleted=yes").text
    assert_in_order(words(page), "删除时间", "继承人", "trainer_li", "trainer_wang")
    assert "重置密码" not in page


def test_a_new_user_is_asked_for_and_leads_back_to_the_first_row(site: Site) -> None:  # U-2
    answer = site.post(
        "/users/new", username="trainer_zhao", password=" Secret 2", role="model_trainer", email="", remark="夜班"
    )
    assert answer.headers["Location"] == "/users"
    (command,) = site.assay.commands
    assert isinstance(command, CreateUser)
    assert (command.username, command.password, command.role) == ("trainer_zhao", " Secret 2", Role.MODEL_TRAINER)


def test_a_new_user_that_is_sent_twice_is_asked_for_once(site: Site) -> None:  # U-2
    found = re.search(r'name="form_id" value="([^"]+)"', site.get("/users/new").text)
    assert found
    entered = {"form_id": found[1], "username": "trainer_zhao", "password": "Secret2", "role": "model_trainer"}
    for sent in (entered, entered, entered | {"password": "Better3"}):
        assert site.post("/users/new", **sent).headers["Location"] == "/users"
    once, twice, anew = (command.user_id for command in site.assay.commands)
    assert once == twice != anew


# Each change is a page, too


@pytest.mark.parametrize(
    ("action", "title"),
    [("email", "修改邮箱"), ("password", "重置密码"), ("role", "修改角色"), ("delete", "删除用户")],
)
def test_each_dialog_is_a_page_about_one_user(site: Site, action: str, title: str) -> None:  # S-4, U-4
    page = site.get(f"{WANG}/{action}").text
    assert_in_order(words(page), title, "trainer_wang")
    assert f'action="{WANG}/{action}"' in page


@pytest.mark.parametrize("action", ["email", "password", "role", "delete"])
def test_who_comes_second_is_told_that_the_user_is_gone(site: Site, action: str) -> None:  # U-3, U-4
    asked = site.get(f"{NOBODY}/{action}?back={quote(FILTERED, safe='')}")
    assert (asked.status_code, asked.headers["Location"]) == (303, FILTERED)
    told = site.get(FILTERED).text
    assert "该项此前已被删除或移除。" in told[told.index('class="toast warn"') :], "it is no news of something done"
    answer = site.post(f"{NOBODY}/{action}", role="model_trainer")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/users")
    assert "该项此前已被删除或移除。" in site.get("/users").text
    assert site.assay.commands == []


def test_another_email_address_is_saved(site: Site) -> None:  # U-4
    assert 'value="lead@fab.example"' in site.get(f"{SELF}/email").text
    assert site.post(f"{WANG}/email", email=" wang@fab.example ").headers["Location"] == "/users"
    (command,) = site.assay.commands
    assert isinstance(command, ChangeUserEmail)
    assert (command.user_id, command.email) == (MODEL_TRAINER.user_id, "wang@fab.example")
    assert "“trainer_wang”的邮箱已保存。" in site.get("/users").text


def test_a_wrong_email_address_is_told_beside_its_field(site: Site) -> None:  # U-4
    site.assay.refuse_with(EmailIsInvalid(email="wang"))
    answer = site.post(f"{WANG}/email", email="wang")
    assert answer.status_code == 422
    assert 'id="email-error" role="alert">“wang”不是有效的邮箱地址' in answer.text


def test_a_reset_password_ends_every_session_of_the_user(site: Site) -> None:  # U-4
    sessions = site.services.sessions
    elsewhere = sessions.open(Session(user_id=MODEL_TRAINER.user_id, epoch=1))
    answer = site.post(f"{WANG}/password", new_password="Better2")
    assert answer.headers["Location"] == "/users"
    (command,) = site.assay.commands
    assert isinstance(command, ResetPassword)
    assert (command.user_id, command.new_password) == (MODEL_TRAINER.user_id, "Better2")
    assert sessions.find(elsewhere) is None
    assert site.get("/users").status_code == 200  # the super administrator's own goes on


def test_who_resets_the_own_password_signs_in_again(site: Site) -> None:  # U-4
    answer = site.post(f"{SELF}/password", new_password="Better2")
    assert answer.headers["Location"] == "/sign-in"
    assert site.get("/users").status_code == 303
    assert "密码已修改，请使用新密码登录。" in site.get("/sign-in").text


def test_a_weak_password_is_told_and_never_shown_again(site: Site) -> None:  # U-4
    site.assay.refuse_with(PasswordIsTooWeak(at="new_password"))
    answer = site.post(f"{WANG}/password", new_password="weak-one")
    assert answer.status_code == 422
    assert 'id="new_password-error"' in answer.text
    assert "weak-one" not in answer.text


def test_another_role_is_saved(site: Site) -> None:  # U-4
    assert 'value="model_trainer" checked' in site.get(f"{WANG}/role").text
    assert site.post(f"{WANG}/role", role="super_administrator").headers["Location"] == "/users"
    (command,) = site.assay.commands
    assert isinstance(command, ChangeUserRole)
    assert (command.user_id, command.role) == (MODEL_TRAINER.user_id, Role.SUPER_ADMINISTRATOR)


def test_who_gives_up_the_own_role_leaves_these_pages(site: Site) -> None:  # U-4
    assert "您将无法再查看超级管理员的页面" in site.get(f"{SELF}/role").text
    assert "您将无法再查看超级管理员的页面" not in site.get(f"{WANG}/role").text
    assert site.post(f"{SELF}/role", role="model_trainer").headers["Location"] == "/"


def test_no_role_at_all_is_told_beside_its_field(site: Site) -> None:  # U-4
    answer = site.post(f"{WANG}/role", role="emperor")
    assert answer.status_code == 422
    assert 'id="role-error" role="alert">请从给出的选项中选择。' in answer.text
    assert site.assay.commands == []


def test_the_last_super_administrator_is_told_beside_the_role(site: Site) -> None:  # U-3
    site.assay.refuse_with(OneSuperAdministratorStays(name="quality_lead"))
    answer = site.post(f"{SELF}/role", role="model_trainer")
    assert answer.status_code == 422
    assert 'id="role-error" role="alert">“quality_lead”是最后一个超级管理员' in answer.text


# Deleting


def test_a_user_without_belongings_is_deleted_without_an_heir(site: Site) -> None:  # U-3
    page = site.get(f"{WANG}/delete").text
    assert "确定删除用户“trainer_wang”吗？" in page
    assert 'name="heir"' not in page
    elsewhere = site.services.sessions.open(Session(user_id=MODEL_TRAINER.user_id, epoch=1))
    assert site.post(f"{WANG}/delete").headers["Location"] == "/users"
    (command,) = site.assay.commands
    assert isinstance(command, DeleteUser)
    assert (command.actor, command.user_id, command.heir) == (QUALITY_LEAD.user_id, MODEL_TRAINER.user_id, None)
    assert site.services.sessions.find(elsewhere) is None
    assert site.services.drafts.dropped == [MODEL_TRAINER.user_id]
    assert "用户“trainer_wang”已删除。" in site.get("/users").text


def test_whoever_owns_something_is_deleted_with_an_heir(site: Site) -> None:  # U-7
    site.read.users.owned[MODEL_TRAINER.user_id] = Belongings(
        model_count=2, training_job_count=1234, prediction_job_count=1
    )
    page = site.get(f"{WANG}/delete").text
    assert "其名下有 2 个模型、1,234 个训练任务、1 个预测任务" in page
    assert '<option value="quality_lead">' in page
    assert '<option value="trainer_wang">' not in page
    assert site.post(f"{WANG}/delete", heir="Quality_Lead").headers["Location"] == "/users"
    assert site.assay.commands[0].heir == QUALITY_LEAD.user_id


def test_an_heir_who_is_nobody_is_told_beside_the_field_once(site: Site) -> None:  # U-7
    site.read.users.owned[MODEL_TRAINER.user_id] = Belongings(model_count=2)
    answer = site.post(f"{WANG}/delete", heir="nobody_here")
    assert answer.status_code == 422
    assert 'id="heir-error" role="alert">没有此用户' in answer.text
    assert 'value="nobody_here"' in answer.text
    assert site.assay.commands == []
    site.assay.refuse_with(HeirNeeded(name="trainer_wang"))
    answer = site.post(f"{WANG}/delete")
    assert answer.text.count("“trainer_wang”名下还有模型或任务，请指定继承人。") == 1


def test_a_refused_deletion_leaves_sessions_and_drafts_alone(site: Site) -> None:  # U-3
    elsewhere = site.services.sessions.open(Session(user_id=MODEL_TRAINER.user_id, epoch=1))
    site.assay.refuse_with(HeirNeeded(name="trainer_wang"))
    answer = site.post(f"{WANG}/delete")
    assert answer.status_code == 422
    assert "请指定继承人" in answer.text
    assert site.services.sessions.find(elsewhere) is not None
    assert site.services.drafts.dropped == []


# The way back


@pytest.mark.parametrize("action", ["email", "password", "role", "delete"])
def test_the_way_back_leads_to_the_part_of_the_list_where_one_was(site: Site, action: str) -> None:
    assert f'href="{WANG}/{action}?back={quote(FILTERED, safe="")}"' in site.get(FILTERED).text
    page = site.get(f"{WANG}/{action}?back={quote(FILTERED)}").text
    assert f'name="back" value="{FILTERED.replace("&", "&amp;")}"' in page
    sent = {"email": "", "new_password": "Better2", "role": "model_trainer", "back": FILTERED}
    assert site.post(f"{WANG}/{action}", **sent).headers["Location"] == FILTERED


@pytest.mark.parametrize(
    "back", ["https://evil.example", "//evil.example", "/account", "/usersevil", "/users?\r\nX: y"]
)
def test_the_way_back_leads_nowhere_else(site: Site, back: str) -> None:
    assert site.post(f"{WANG}/email", email="", back=back).headers["Location"] == "/users"


# Roles count from the next request on


def test_a_demoted_super_administrator_loses_access_with_the_next_request(site: Site) -> None:  # U-4
    assert site.get("/users").status_code == 200
    demoted = msgspec.structs.replace(QUALITY_LEAD, role=Role.MODEL_TRAINER)
    site.read.users.accounts[QUALITY_LEAD.user_id] = demoted
    assert site.get("/users").status_code == 403
    assert 'href="/users"' not in site.get("/").text


def test_a_refused_request_is_noted_with_what_was_asked(trainer: Site) -> None:  # U-6
    answer = trainer.post(f"{WANG}/delete")
    assert answer.status_code == 403
    assert trainer.assay.refused == [(MODEL_TRAINER.user_id, f"POST {WANG}/delete", answer.headers["X-Request-ID"])]
    trainer.get("/users")
    assert len(trainer.assay.refused) == 1
