"Uploads five drawn portraits a label that no training saw to the served page of the newest model, in a real browser: how many answers are right?"
import re, subprocess, sys, tempfile
from collections import Counter
from pathlib import Path
from playwright.sync_api import sync_playwright

sys.path.insert(0, str(Path(__file__).parents[1]/'tests'))
from conftest import find_chromium
from eyewear.data.practice import try_portraits
from eyewear.predict import ModelError, find_model

def answers(page, photos):
    "What the page says of each of `photos`"
    for file in photos:
        with page.expect_file_chooser() as chooser: page.locator('.ed-area').click()
        chooser.value.set_files(str(file))
        page.locator('.ea-result > img').and_(page.get_by_alt_text(file.name, exact=True)).wait_for()
        yield re.match(r'Prediction: (.+); Probability', page.locator('.ea-answer').inner_text())[1]

def main():
    try: find_model()
    except ModelError as e: return print(f'app_answers: left out, {e}')
    with tempfile.TemporaryDirectory() as tmp:
        labels, photos = [], []
        for i, (label, img) in enumerate(try_portraits(5)):
            labels.append(label)
            photos.append(Path(tmp)/f'{i}.jpg')
            img.save(photos[-1], quality=90)
        server = subprocess.Popen([Path(sys.executable).parent/'eyewear-app', '--port', '0'], stdout=subprocess.PIPE, text=True)
        try:
            url = re.search(r'http://\S+', server.stdout.readline())[0]
            with sync_playwright() as p:
                browser = p.chromium.launch(executable_path=find_chromium()[0], args=['--no-sandbox', '--disable-background-networking'])
                page = browser.new_page()
                page.goto(url)
                said = list(answers(page, photos))
                browser.close()
        finally:
            server.terminate()
            server.wait()
    wrong = Counter((a, b) for a, b in zip(labels, said) if a != b)
    print(f"{len(said)-sum(wrong.values())} of {len(said)} right", *(f"{a} taken for {b}" for a, b in wrong), sep="; ")

if __name__ == '__main__': main()
