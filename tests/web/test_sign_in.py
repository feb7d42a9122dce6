from tests.web.site import Site


def test_a_stranger_is_led_to_the_sign_in_page_and_back(stranger: Site) -> None:
    answer = stranger.get("/users?page=2")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/sign-in?next=/users%3Fpage%3D2")


def test_signing_in_opens_the_overview(site: Site) -> None:
    assert site.get("/").status_code == 200
    print(site.get("/").text)
    print(site.get("/users").text)
    print(site.get("/users/new").text)
    print(site.get("/nowhere").text)
