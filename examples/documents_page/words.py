"""What the documents page says, in English and in Japanese."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Words:
    """Of one language.

    Args:
        language: its tag (BCP 47).
        statuses: by the `status` of a document; docs/calling.md explains them.
        faults: by the `fault` of a document's `finding`: what is wrong, and what helps.
    """

    language: str
    title: str
    introduction: str
    # the list
    name: str
    size: str
    changed: str
    status: str
    actions: str
    since_before: str
    since_after: str
    caption: str
    no_documents: str
    none_on_this_page: str
    more: str
    first_page: str
    not_all_left_out: str
    open: str
    opens_new: str
    delete: str
    # its filter
    filter: str
    any_status: str
    prefix: str
    apply: str
    # sending
    send: str
    files: str
    files_label: str
    files_hint: str
    folder: str
    needs_script: str
    sending: str
    arrived: str
    not_arrived: str
    not_sent: str
    sent_all: str
    # deleting
    delete_this: str
    delete_explained: str
    erase: str
    erase_explained: str
    cancel: str
    looks_the_same: str
    erase_goes_on: str
    # what went wrong
    not_there: str
    no_such_page: str
    not_taken: str
    name_not_taken: str
    size_not_taken: str
    spelled_otherwise: str
    busy: str
    not_available: str
    failed: str
    sign_in: str
    reload: str
    back: str
    statuses: Mapping[str, str]
    faults: Mapping[str, str]
    left_out: str
    still_used: str


ENGLISH = Words(
    language="en",
    title="Documents",
    introduction="Answers rest on these documents, and on nothing else.",
    name="Name",
    size="Size",
    changed="Changed",
    status="Status",
    actions="Actions",
    since_before="since",
    since_after="",
    caption="Your documents",
    no_documents="There are no documents here yet.",
    none_on_this_page="None was found so far.",
    more="More documents",
    first_page="Back to the first ones",
    not_all_left_out="More documents may be left out than are shown: that is not known at present.",
    open="Open",
    opens_new="opens in a new tab",
    delete="Delete",
    filter="Find documents",
    any_status="Any status",
    prefix="Name begins with",
    apply="Show",
    send="Add",
    files="Add documents",
    files_label="Files",
    files_hint="PDF, Word, Excel, CSV, HTML, Markdown or text, 50 MB at most each. One of the same name is replaced.",
    folder="Folder (may be empty)",
    needs_script="Adding documents needs JavaScript. All else on this page does without.",
    sending="is being sent …",
    arrived="has arrived. It will be read soon.",
    not_arrived="has not arrived. Please try again.",
    not_sent="The connection failed. Please try again.",
    sent_all="Show the documents",
    delete_this="Delete this document?",
    delete_explained="Answers stop using it with the next update.",
    erase="Erase all earlier versions, too",
    erase_explained="Nothing of it is kept then, and nobody can bring it back.",
    cancel="Keep it",
    looks_the_same="Another document, whose name looks the same, is there, too. It stays.",
    erase_goes_on="Not all versions are erased yet. Please go on.",
    not_there="That document is not there, or not any more.",
    no_such_page="That part of the list is not there. The first one is.",
    not_taken="That is not taken.",
    name_not_taken="A file of this name or kind is not taken.",
    size_not_taken="It is empty, or larger than 50 MB.",
    spelled_otherwise="A document whose name looks the same is there, spelled otherwise inside. Delete that first.",
    busy="Many people are at it at present. Please try again in a moment.",
    not_available="Documents are not available to your company at present.",
    failed="That did not work. Please try again later.",
    sign_in="Please sign in.",
    reload="This page is out of date. Please load it again.",
    back="To the documents",
    statuses={
        "ANSWERED_FROM": "Used in answers",
        "BEING_INDEXED": "Being read",
        "LEFT_OUT": "Left out of answers",
        "NOT_SEEN_YET": "Waiting to be read",
        "DELETED": "Deleted",
        "GONE": "Deleted, and not used any more",
        "UNKNOWN": "Not known at present",
    },
    faults={
        "EMPTY": "It is empty. Add the whole file.",
        "TOO_LARGE": "It is too large. Divide it, and add the parts.",
        "FORMAT": "Files of this kind are not read. Save it as PDF, Word or text, and add that.",
        "OTHER_CONTENT": "It is another kind of file than its name says. Save it in the right format, and add that.",
        "ENCRYPTED": "It is protected by a password. Save it without, and add that.",
        "CUT": "Its end is missing. Add the whole file again.",
        "SCAN": "Its pages are pictures, without text. Have the text recognized (OCR), and add the result.",
        "BLANK": "It holds nothing but blanks.",
        "NO_TEXT": "No text was found in it. If it shows text, have it recognized (OCR), and add the result.",
        "NOT_PARSED": "Its pages are pictures, and reading them failed. Ask your administrator to have it read again.",
        "NOT_UTF8": "Its text is in an encoding that is not read. Save it as UTF-8, and add that.",
        "METADATA_TOO_LARGE": "What is noted about it (its metadata) is too long.",
        "METADATA_INVALID": "What is noted about it (its metadata) cannot be read.",
    },
    left_out="It could not be read.",
    still_used="Answers may still use it until the next update.",
)

JAPANESE = Words(
    language="ja",
    title="ドキュメント",
    introduction="回答は、ここにあるドキュメントだけをもとに作られます。",
    name="名前",
    size="サイズ",
    changed="更新日時",
    status="状態",
    actions="操作",
    since_before="",
    since_after="から",
    caption="ドキュメントの一覧",
    no_documents="ドキュメントはまだありません。",
    none_on_this_page="ここまでには見つかりませんでした。",
    more="続きを表示",
    first_page="最初に戻る",
    not_all_left_out="ここにない対象外のドキュメントがほかにもあるかもしれません（現在確認できません）。",
    open="開く",
    opens_new="新しいタブで開きます",
    delete="削除",
    filter="ドキュメントを探す",
    any_status="すべての状態",
    prefix="名前の先頭",
    apply="表示",
    send="追加",
    files="ドキュメントを追加",
    files_label="ファイル",
    files_hint="PDF、Word、Excel、CSV、HTML、Markdown、テキスト（1件50 MBまで）。同じ名前のものは置き換えられます。",
    folder="フォルダー（空欄でもかまいません）",
    needs_script="ドキュメントの追加にはJavaScriptが必要です。そのほかの操作はJavaScriptなしで使えます。",
    sending="を送信しています…",
    arrived="を受け取りました。まもなく読み込まれます。",
    not_arrived="が届いていません。もう一度お試しください。",
    not_sent="通信に失敗しました。もう一度お試しください。",
    sent_all="一覧を表示",
    delete_this="このドキュメントを削除しますか？",
    delete_explained="次の更新から、回答に使われなくなります。",
    erase="以前の版もすべて消去する",
    erase_explained="何も残らず、元に戻すことはできません。",
    cancel="削除しない",
    looks_the_same="見た目が同じ名前のドキュメントがもう1件あります。そちらは残ります。",
    erase_goes_on="まだ消去されていない版があります。続けて実行してください。",
    not_there="そのドキュメントはありません。",
    no_such_page="一覧のその部分はありません。最初から表示してください。",
    not_taken="受け付けられませんでした。",
    name_not_taken="この名前または形式のファイルは受け付けられません。",
    size_not_taken="ファイルが空か、50 MBを超えています。",
    spelled_otherwise="見た目が同じで、文字コードの異なる名前のドキュメントがあります。先にそれを削除してください。",
    busy="ただいま混み合っています。しばらくしてからもう一度お試しください。",
    not_available="現在、ご利用の会社ではドキュメントを利用できません。",
    failed="処理できませんでした。しばらくしてからもう一度お試しください。",
    sign_in="サインインしてください。",
    reload="このページは古くなっています。再読み込みしてください。",
    back="ドキュメントの一覧へ",
    statuses={
        "ANSWERED_FROM": "回答に使用中",
        "BEING_INDEXED": "読み込み中",
        "LEFT_OUT": "回答の対象外",
        "NOT_SEEN_YET": "読み込み待ち",
        "DELETED": "削除済み",
        "GONE": "削除済み（回答にも使われません）",
        "UNKNOWN": "現在確認できません",
    },
    faults={
        "EMPTY": "ファイルが空です。内容のあるファイルを追加してください。",
        "TOO_LARGE": "サイズが大きすぎます。分割して追加してください。",
        "FORMAT": "この形式のファイルは読み込めません。PDF、Word、テキストなどで保存して追加してください。",
        "OTHER_CONTENT": "拡張子と中身の形式が異なります。正しい形式で保存して追加してください。",
        "ENCRYPTED": "パスワードで保護されています。保護を解除して追加してください。",
        "CUT": "ファイルの末尾が欠けています。もう一度追加してください。",
        "SCAN": "文字情報のないスキャン画像です。文字認識（OCR）をしてから追加してください。",
        "BLANK": "空白だけで、文章がありません。",
        "NO_TEXT": "文章が見つかりません。画像の文字の場合は、文字認識（OCR）をしてから追加してください。",
        "NOT_PARSED": "スキャン画像の読み取りに失敗しました。再読み込みを管理者に依頼してください。",
        "NOT_UTF8": "読み込めない文字コードです。UTF-8で保存して追加してください。",
        "METADATA_TOO_LARGE": "付属情報（メタデータ）が長すぎます。",
        "METADATA_INVALID": "付属情報（メタデータ）を読み取れません。",
    },
    left_out="読み込めませんでした。",
    still_used="次の更新までは、回答に使われることがあります。",
)

ALL = (ENGLISH, JAPANESE)


def words_for(accepted: str) -> Words:
    """Those of the language that a browser's `Accept-Language` likes best; English where it likes neither.

    Source: RFC 9110, 12.5.4.
    """
    best, liked = ENGLISH, 0.0
    for each in accepted.split(","):
        tag, *parameters = (part.strip().lower() for part in each.split(";"))
        words = next((words for words in ALL if words.language == tag.partition("-")[0]), None)
        weight = _weight(parameters)
        if words is not None and weight > liked:
            best, liked = words, weight
    return best


def _weight(parameters: list[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0
