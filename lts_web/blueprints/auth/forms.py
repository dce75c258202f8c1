"""The login form."""

from __future__ import annotations

from flask_wtf import FlaskForm
from wtforms import HiddenField, PasswordField, StringField
from wtforms.validators import InputRequired, Length


class LoginForm(FlaskForm):
    """Username (or e-mail) and password; `next` is where the person wanted to go."""

    username = StringField(
        "Username or e-mail",
        validators=[InputRequired("Enter your username or e-mail."), Length(max=254)],
    )
    password = PasswordField(
        "Password", validators=[InputRequired("Enter your password."), Length(max=1024)]
    )
    next = HiddenField()
